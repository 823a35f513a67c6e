package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// retries repeats a call once: a connection that a restarted server closed is found only by using it. More would
// let one call outlast its deadline several times over; who needs more repeats by itself, each second.
const retries = 1

// Open returns a client; it does not wait for Redis to answer, since a process must start while Redis is away.
// An error names the option that cannot be used. The caller closes the client.
func Open(o Options) (redis.UniversalClient, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	universal := &redis.UniversalOptions{
		Addrs:      o.Addrs,
		MasterName: o.Master,
		// Nothing here needs RESP3, whose push messages would mix with the replies of a subscription.
		Protocol:              2,
		MaxRetries:            retries,
		DialTimeout:           o.Timeout,
		ReadTimeout:           o.Timeout,
		WriteTimeout:          o.Timeout,
		PoolTimeout:           o.Timeout,
		DialerRetries:         1,
		ContextTimeoutEnabled: true,
		IsClusterMode:         o.Cluster,
		// Fewer commands on connect means fewer that an ACL must allow.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if err := o.authenticate(universal); err != nil {
		return nil, err
	}
	if o.secure() {
		config, err := o.tlsConfig()
		if err != nil {
			return nil, err
		}
		universal.TLSConfig = config
	}
	return redis.NewUniversalClient(universal), nil
}

// authenticate reads the password now, so that a wrong path fails at start, and again at each new connection.
func (o Options) authenticate(universal *redis.UniversalOptions) error {
	universal.Username = o.Username
	if o.PasswordFile == "" {
		return nil
	}
	if _, err := o.password(); err != nil {
		return err
	}
	universal.CredentialsProviderContext = func(context.Context) (string, string, error) {
		password, err := o.password()
		return o.Username, password, err
	}
	return nil
}

func (o Options) password() (string, error) {
	text, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("--redis-password-file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("--redis-password-file %q is empty: write the password into it", o.PasswordFile)
	}
	return password, nil
}

func (o Options) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--redis-tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--redis-tls-ca %q holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--redis-tls-cert %q with --redis-tls-key %q: %w", o.CertFile, o.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
