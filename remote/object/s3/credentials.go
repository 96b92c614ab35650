package s3

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"mediafs/remote"
)

// failureHolds is how long a search for keys that found none is not repeated, so that a machine
// without a metadata service does not wait for it in every request.
const failureHolds = 30 * time.Second

// tokenTimeout is for the exchange of a web identity token for keys: one request over the internet.
const tokenTimeout = 15 * time.Second

// credentialsOf returns what signs the requests. It asks nobody yet.
func credentialsOf(opt *Options) *credentials.Credentials {
	switch {
	case opt.Anonymous:
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	case opt.AccessKey != "":
		return credentials.NewStaticV4(opt.AccessKey, string(opt.SecretKey), string(opt.SessionToken))
	}
	timeout := opt.MetadataTimeout
	if timeout <= 0 {
		timeout = time.Second
	}
	// A client of its own: the metadata service speaks plain HTTP, and never through a proxy.
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		// Then it is no neighbour that gives the keys but a service on the internet.
		client = &http.Client{
			Timeout:   tokenTimeout,
			Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		}
	}
	return credentials.New(&search{
		file:    &credentials.FileAWSCredentials{Profile: opt.Profile},
		iam:     &credentials.IAM{Endpoint: opt.MetadataURL, Client: client},
		profile: opt.Profile,
	})
}

// search looks for keys in the environment, in the shared files and at the metadata service, and
// stays with where it found some. In contrast to minio-go's own chain it says so when there are
// none, instead of going on without signing, and it does not fall through to the next place from
// one that is there but wrong.
type search struct {
	env     credentials.EnvAWS
	file    *credentials.FileAWSCredentials
	iam     *credentials.IAM
	profile string

	mu struct {
		sync.Mutex
		found  credentials.Provider
		failed error
		until  time.Time // failed holds until then
	}
}

func (s *search) Retrieve() (credentials.Value, error) { return s.RetrieveWithCredContext(nil) }

func (s *search) IsExpired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.found == nil || s.mu.found.IsExpired()
}

func (s *search) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failed != nil && time.Now().Before(s.mu.until) {
		return credentials.Value{}, s.mu.failed
	}
	before := s.mu.found
	v, found, err := s.look(cc)
	if err != nil {
		if before == s.iam && remote.KindOf(err) == remote.Permission {
			// It had keys before: what is missing now is the service, not the keys.
			err = remote.E(
				"renew credentials", "", remote.Unavailable, errors.New("the metadata service does not answer"),
			)
		}
		s.mu.failed, s.mu.until = err, time.Now().Add(failureHolds)
		return credentials.Value{}, err
	}
	s.mu.found, s.mu.failed = found, nil
	return v, nil
}

func (s *search) look(cc *credentials.CredContext) (credentials.Value, credentials.Provider, error) {
	const op = "find credentials"
	if s.profile == "" {
		v, _ := s.env.Retrieve()
		switch {
		case v.AccessKeyID != "" && v.SecretAccessKey != "":
			return v, &s.env, nil
		case v.AccessKeyID != "" || v.SecretAccessKey != "":
			return v, nil, remote.E(op, "", remote.Permission, errors.New("the environment has only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")).
				WithHint("set both")
		}
	}
	v, err := s.file.RetrieveWithCredContext(cc)
	if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
		return v, s.file, nil
	}
	if name := s.profile + os.Getenv("AWS_PROFILE"); name != "" {
		return v, nil, remote.E(op, "", remote.Permission, errors.New("the profile that was asked for has no usable keys")).
			WithHint("look into ~/.aws/credentials, or where AWS_SHARED_CREDENTIALS_FILE says")
	}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		v, err = s.iam.RetrieveWithCredContext(cc)
		if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
			return v, s.iam, nil
		}
	}
	return v, nil, remote.E(op, "", remote.Permission, errors.New("there are none in the environment, in the shared files or from a metadata service")).
		WithHint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
}
