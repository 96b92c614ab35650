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

// ErrNoBucket is in the chain of a NotExist error when it is the bucket that is missing, not the object. The answer to a
// Head has no room for the difference.
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

	"AccessDenied":                 {remote.Permission, "the keys are valid but may not do that: look at the policy of the bucket and of the user"},
	"AllAccessDisabled":            {remote.Permission, ""},
	"AccountProblem":               {remote.Permission, "ask the provider of the store"},
	"InvalidAccessKeyId":           {remote.Permission, "the store does not know the access key: is it one for this endpoint?"},
	"XMinioInvalidAccessKeyId":     {remote.Permission, "the store does not know the access key: is it one for this endpoint?"},
	"XAdminUserNotFound":           {remote.Permission, "the store does not know the access key: is it one for this endpoint?"},
	"SignatureDoesNotMatch":        {remote.Permission, "the secret key is wrong, or a proxy changes requests"},
	"ExpiredToken":                 {remote.Permission, "get a new session token"},
	"InvalidToken":                 {remote.Permission, "get a new session token"},
	"TokenRefreshRequired":         {remote.Permission, "get a new session token"},
	"RequestTimeTooSkewed":         {remote.Permission, "set the clock of this machine"},
	"RequestExpired":               {remote.Permission, "set the clock of this machine"},
	"MissingSecurityHeader":        {remote.Permission, ""},
	"MissingAuthenticationToken":   {remote.Permission, ""},
	"InvalidObjectState":           {remote.Archived, "have the store restore the object first, with its own tools, and read again then"},
	"AuthorizationHeaderMalformed": {remote.Invalid, "set the region of the bucket"},
	"InvalidRegion":                {remote.Invalid, "set the region of the bucket"},
	"PermanentRedirect":            {remote.Invalid, "set the region or endpoint of the bucket"},
	"TemporaryRedirect":            {remote.Unavailable, ""},

	"ConditionalRequestConflict": {remote.Conflict, ""},
	"OperationAborted":           {remote.Conflict, ""},
	"Conflict":                   {remote.Conflict, ""},

	"SlowDown":                   {remote.Throttled, ""},
	"SlowDownRead":               {remote.Throttled, ""},
	"SlowDownWrite":              {remote.Throttled, ""},
	"Throttling":                 {remote.Throttled, ""},
	"ThrottlingException":        {remote.Throttled, ""},
	"TooManyRequests":            {remote.Throttled, ""},
	"RequestLimitExceeded":       {remote.Throttled, ""},
	"RequestThrottled":           {remote.Throttled, ""},
	"BandwidthLimitExceeded":     {remote.Throttled, ""},
	"ServiceUnavailable":         {remote.Unavailable, ""},
	"InternalError":              {remote.Unavailable, ""},
	"RequestTimeout":             {remote.Unavailable, ""},
	"XMinioServerNotInitialized": {remote.Unavailable, "the server is starting"},

	"QuotaExceeded":                  {remote.Quota, "the quota of the bucket is used up"},
	"XMinioAdminBucketQuotaExceeded": {remote.Quota, "the quota of the bucket is used up"},
	"XMinioStorageFull":              {remote.NoSpace, "the disks of the object store are full"},
	"InsufficientCapacity":           {remote.NoSpace, "the disks of the object store are full"},

	"EntityTooLarge":            {remote.TooLarge, ""},
	"KeyTooLongError":           {remote.TooLong, ""},
	"KeyTooLong":                {remote.TooLong, ""},
	"EntityTooSmall":            {remote.Invalid, ""},
	"InvalidPart":               {remote.Invalid, ""},
	"InvalidPartOrder":          {remote.Invalid, ""},
	"InvalidPartNumber":         {remote.Invalid, ""},
	"InvalidArgument":           {remote.Invalid, ""},
	"InvalidRange":              {remote.Invalid, ""},
	"InvalidRequest":            {remote.Invalid, ""},
	"InvalidBucketName":         {remote.Invalid, ""},
	"XMinioInvalidObjectName":   {remote.Invalid, ""},
	"MalformedXML":              {remote.Invalid, ""},
	"BadDigest":                 {remote.Unavailable, ""}, // bytes changed on the way: sending them again helps
	"XAmzContentSHA256Mismatch": {remote.Unavailable, ""},
	"IncompleteBody":            {remote.Unavailable, ""},
	"NotImplemented":            {remote.Unsupported, ""},
	"MethodNotAllowed":          {remote.Unsupported, ""},
}

// statuses is for answers whose code is not known. 404 is not among them: NotExist is only what the store says of the very thing.
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

// convert gives every error of this package its kind; nothing else does. failed412 is what a condition means that did not
// hold: Exist for a put, Stale for a get.
//
// Whatever is not an answer of the store in its own words is Unavailable: with a write it is in doubt.
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
	// An answer that is no XML has its status line as code, and as message whatever a proxy had to say.
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
		o.kind = remote.Unavailable // nobody can be in the way of a request without a condition: the server means that it should come again
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

// isLocked reports whether err is the store's answer that Object Lock keeps an object as it is: Amazon's words, which others use too.
func isLocked(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.Code == minio.AccessDenied && strings.Contains(strings.ToLower(answer.Message), "object lock")
}

// isCode reports whether err is the store's answer with that code.
func isCode(err error, code string) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.Code == code
}
