package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"mediafs/remote"
)

// ErrNoBucket is in the chain of a NotExist error when it is the bucket that is missing, not the
// object. The answer to a Head has no room for the difference.
var ErrNoBucket = errors.New("the bucket is missing")

// outcome is what an error code of S3 means.
type outcome struct {
	kind remote.Kind
	hint string
}

var codes = map[string]outcome{
	"NoSuchKey":     {remote.NotExist, ""},
	"NoSuchVersion": {remote.NotExist, ""},
	"NoSuchUpload":  {remote.NotExist, ""},
	"NoSuchBucket":  {remote.NotExist, "create the bucket first, or correct its name or the endpoint"},

	"AccessDenied": {
		remote.Permission, "the keys are valid but may not do that: look at the policy of the bucket and of the user",
	},
	"AllAccessDisabled": {
		remote.Permission, "access to the bucket is turned off: ask its owner or the provider of the store",
	},
	"AccountProblem":     {remote.Permission, "ask the provider of the store"},
	"InvalidAccessKeyId": {remote.Permission, "the store does not know the access key: is it one for this endpoint?"},
	"XMinioInvalidAccessKeyId": {
		remote.Permission, "the store does not know the access key: is it one for this endpoint?",
	},
	"XAdminUserNotFound":    {remote.Permission, "the store does not know the access key: is it one for this endpoint?"},
	"SignatureDoesNotMatch": {remote.Permission, "the secret key is wrong, or a proxy changes requests"},
	"ExpiredToken":          {remote.Permission, "get a new session token"},
	"InvalidToken":          {remote.Permission, "get a new session token"},
	"TokenRefreshRequired":  {remote.Permission, "get a new session token"},
	"RequestTimeTooSkewed":  {remote.Permission, "set the clock of this machine"},
	"RequestExpired":        {remote.Permission, "set the clock of this machine"},
	"MissingSecurityHeader": {remote.Permission, "a proxy takes headers off requests"},
	"MissingAuthenticationToken": {
		remote.Permission, "the store wants credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
	},
	"InvalidObjectState": {
		remote.Archived,
		"the object is in an archive: mediafs restore-archived asks for it back, and mediafs info tells when it is there",
	},
	"AuthorizationHeaderMalformed": {remote.Invalid, "set the region of the bucket"},
	"InvalidRegion":                {remote.Invalid, "set the region of the bucket"},
	"PermanentRedirect":            {remote.Invalid, "set the region or endpoint of the bucket"},
	"TemporaryRedirect":            {remote.Unavailable, "the bucket is new or moves: try again in a while"},

	"NoSuchObjectLockConfiguration":        {remote.NotExist, ""},
	"ObjectLockConfigurationNotFoundError": {remote.NotExist, ""},
	"InvalidLocationConstraint":            {remote.Invalid, "set the region of the bucket"},
	"IllegalLocationConstraintException":   {remote.Invalid, "set the region of the bucket"},
	"InvalidSecurity":                      {remote.Permission, "the store does not take these credentials: are they for this endpoint?"},
	"NotSignedUp":                          {remote.Permission, "the account is not signed up for the store: ask its provider"},
	"InvalidPayer":                         {remote.Permission, "the account of the bucket is closed for access: ask its owner"},
	"UserSuspended":                        {remote.Permission, "the user is suspended: ask the provider of the store"},
	"AuthorizationQueryParametersError":    {remote.Permission, "a proxy changes requests"},

	// The keys of SSE-KMS. A key that is turned off, and one that may not be used, mend themselves
	// no sooner than rights do.
	"KMS.DisabledException": {
		remote.Permission, "the encryption key of the bucket is turned off: turn it on, or give the bucket another",
	},
	"KMS.NotFoundException": {
		remote.Permission, "the encryption key of the bucket is not there: give the bucket another",
	},
	"KMS.KMSInvalidStateException": {
		remote.Permission, "the encryption key of the bucket cannot be used now: look at its state",
	},
	"KMS.InvalidStateException": {
		remote.Permission, "the encryption key of the bucket cannot be used now: look at its state",
	},
	"KMS.ThrottlingException": {
		remote.Throttled, "the store's key service asks for fewer requests; mediafs waits and tries again",
	},
	"XMinioKMSNotConfigured": {remote.Unsupported, "encryption is asked for and the store has no key service"},
	"XMinioKMSKeyNotFoundException": {
		remote.Permission, "the encryption key of the bucket is not there: give the bucket another",
	},
	"ServerSideEncryptionConfigurationNotFoundError": {remote.NotExist, ""},

	"ConditionalRequestConflict": {remote.Conflict, ""},
	"OperationAborted":           {remote.Conflict, ""},
	"Conflict":                   {remote.Conflict, ""},

	"SlowDown":                   {remote.Throttled, "the store asks for fewer requests; mediafs waits and tries again"},
	"SlowDownRead":               {remote.Throttled, "the store asks for fewer requests; mediafs waits and tries again"},
	"SlowDownWrite":              {remote.Throttled, "the store asks for fewer requests; mediafs waits and tries again"},
	"Throttling":                 {remote.Throttled, ""},
	"ThrottlingException":        {remote.Throttled, ""},
	"TooManyRequests":            {remote.Throttled, ""},
	"RequestLimitExceeded":       {remote.Throttled, ""},
	"RequestThrottled":           {remote.Throttled, ""},
	"BandwidthLimitExceeded":     {remote.Throttled, ""},
	"ServiceUnavailable":         {remote.Unavailable, "the store is overloaded or in maintenance; mediafs tries again"},
	"InternalError":              {remote.Unavailable, "the store had a failure of its own; mediafs tries again"},
	"RequestTimeout":             {remote.Unavailable, ""},
	"XMinioServerNotInitialized": {remote.Unavailable, "the server is starting"},

	"QuotaExceeded":                  {remote.Quota, "the quota of the bucket is used up"},
	"XMinioAdminBucketQuotaExceeded": {remote.Quota, "the quota of the bucket is used up"},
	"XMinioStorageFull":              {remote.NoSpace, "the disks of the object store are full"},
	"InsufficientCapacity":           {remote.NoSpace, "the disks of the object store are full"},

	"EntityTooLarge":          {remote.TooLarge, "the store, or a proxy before it, takes no body of that size: raise its limit"},
	"KeyTooLongError":         {remote.TooLong, "use a shorter prefix for the library"},
	"KeyTooLong":              {remote.TooLong, "use a shorter prefix for the library"},
	"EntityTooSmall":          {remote.Invalid, ""},
	"InvalidPart":             {remote.Invalid, ""},
	"InvalidPartOrder":        {remote.Invalid, ""},
	"InvalidPartNumber":       {remote.Invalid, ""},
	"InvalidArgument":         {remote.Invalid, ""},
	"InvalidRange":            {remote.Invalid, ""},
	"InvalidRequest":          {remote.Invalid, ""},
	"InvalidBucketName":       {remote.Invalid, "correct the name of the bucket in the URL"},
	"XMinioInvalidObjectName": {remote.Invalid, ""},
	"MalformedXML":            {remote.Invalid, ""},
	// bytes changed on the way: sending them again helps
	"BadDigest":                 {remote.Unavailable, "bytes changed on their way: look at the network and at proxies"},
	"XAmzContentSHA256Mismatch": {remote.Unavailable, "bytes changed on their way: look at the network and at proxies"},
	"IncompleteBody":            {remote.Unavailable, ""},
	"NotImplemented":            {remote.Unsupported, "the store, or a proxy before it, does not know this request"},
	"MethodNotAllowed":          {remote.Unsupported, "the store, or a proxy before it, does not know this request"},
}

// statuses is for answers whose code is not known. 404 is not among them: NotExist is only what the
// store says of the very thing.
var statuses = map[int]remote.Kind{
	http.StatusUnauthorized:                 remote.Permission,
	http.StatusForbidden:                    remote.Permission,
	http.StatusConflict:                     remote.Conflict,
	http.StatusTooManyRequests:              remote.Throttled,
	http.StatusRequestTimeout:               remote.Unavailable,
	http.StatusRequestEntityTooLarge:        remote.TooLarge,
	http.StatusRequestedRangeNotSatisfiable: remote.Invalid,
	http.StatusBadRequest:                   remote.Invalid,
	http.StatusMovedPermanently:             remote.Invalid,
	http.StatusMethodNotAllowed:             remote.Unsupported,
	http.StatusNotImplemented:               remote.Unsupported,
	http.StatusInsufficientStorage:          remote.NoSpace,
}

// convert gives every error of this package its kind; nothing else does. failed412 is what a
// condition means that did not hold: Exist for a put, Stale for a get.
//
// Whatever is not an answer of the store in its own words is Unavailable: with a write it is in
// doubt.
func (b *Bucket) convert(op, key string, err error, failed412 remote.Kind) error {
	if err == nil {
		return nil
	}
	var ours *remote.Error
	if errors.As(err, &ours) {
		if ours.Op == op && ours.Path == key {
			return ours
		}
		return remote.E(op, key, ours.Kind, ours)
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return b.convertAnswer(op, key, answer, failed412)
	}
	var u *url.Error
	for errors.As(err, &u) && u.Err != nil {
		err = u.Err // the URL says no more than op and key do
	}
	if errors.Is(err, context.Canceled) {
		return remote.E(op, key, remote.Interrupted, err)
	}
	e := remote.E(op, key, remote.Unavailable, err)
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		alert    *tls.CertificateVerificationError
		dns      *net.DNSError
	)
	switch {
	case errors.As(err, &unknown):
		e = e.WithHint("give the certificate of the store's authority (ca)")
	case errors.As(err, &hostname), errors.As(err, &alert):
		e = e.WithHint("the certificate is not one for this endpoint")
	case errors.Is(err, http.ErrSchemeMismatch):
		e = e.WithHint("the endpoint speaks plain HTTP: write http:// if that is what you want")
	case errors.As(err, &dns):
		e = e.WithHint("check the endpoint and the network")
	case errors.Is(err, syscall.ECONNREFUSED):
		e = e.WithHint("nothing listens at the endpoint")
	}
	return e
}

func (b *Bucket) convertAnswer(op, key string, answer minio.ErrorResponse, failed412 remote.Kind) error {
	why := errors.New(answer.Code)
	// An answer that is no XML has its status line as code, and as message whatever a proxy had to
	// say.
	if answer.Message != "" && !strings.Contains(answer.Code, " ") {
		why = fmt.Errorf("%s: %s", answer.Code, strings.TrimSpace(answer.Message))
	}
	if answer.Code == minio.NoSuchBucket {
		why = fmt.Errorf("%w: %q", ErrNoBucket, b.bucket)
	}
	o, known := codes[answer.Code]
	switch {
	case answer.StatusCode == http.StatusPreconditionFailed || answer.Code == minio.PreconditionFailed:
		o = outcome{kind: failed412}
	case known:
	case answer.StatusCode >= 500 && statuses[answer.StatusCode] == remote.Other:
		o.kind = remote.Unavailable
	default:
		o.kind = statuses[answer.StatusCode]
	}
	if o.kind == remote.Conflict && failed412 != remote.Exist {
		// nobody can be in the way of a request without a condition: the server means that it
		// should come again
		o.kind = remote.Unavailable
	}
	if isLocked(answer) {
		o.hint = "Object Lock keeps the object as it is until its retention ends"
	}
	e := remote.E(op, key, o.kind, why)
	if o.hint != "" {
		e = e.WithHint(o.hint)
	}
	return e
}

// isLocked reports whether err is the store's answer that Object Lock keeps an object as it is:
// Amazon's words, which others use too.
func isLocked(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.Code == minio.AccessDenied &&
		strings.Contains(strings.ToLower(answer.Message), "object lock")
}

// isCode reports whether err is the store's answer with that code.
func isCode(err error, code string) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.Code == code
}
