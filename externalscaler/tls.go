package externalscaler

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/tidegate/tidegate/internal/logkey"
)

// certificates serve TLS from files. They are read at each handshake, which KEDA makes once in many minutes: a rotated
// certificate counts from the next connection on, without a watcher that could miss the rename of a mounted Secret.
type certificates struct {
	certFile, keyFile, clientCAFile string
	logger                          *slog.Logger

	mu        sync.Mutex
	pem       pemFiles
	config    *tls.Config
	complaint string
}

// pemFiles are the bytes of the files that a configuration was made from.
type pemFiles struct{ cert, key, clientCA []byte }

func (p pemFiles) equal(q pemFiles) bool {
	return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) && bytes.Equal(p.clientCA, q.clientCA)
}

// newCertificates reads the files for the first time; what cannot be used is an error that names the flag.
func newCertificates(o Options, logger *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: o.CertFile, keyFile: o.KeyFile, clientCAFile: o.ClientCAFile, logger: logger}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// serverConfig is the configuration to give to a TLS listener.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.forClient}
}

// forClient is the configuration of the files as they are now, or the last one that worked: a half-written or
// missing file must not end the scaler's service.
func (c *certificates) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.reload()
	switch {
	case err == nil:
		c.complaint = ""
	case err.Error() != c.complaint:
		c.complaint = err.Error()
		c.logger.Warn("new TLS files cannot be used, the earlier ones serve on", slog.Any(logkey.Err, err))
	}
	return c.config, nil
}

// reload makes a new configuration when the files changed. The caller holds the lock or is the only one.
func (c *certificates) reload() error {
	files, err := c.read()
	if err != nil {
		return err
	}
	if c.config != nil && files.equal(c.pem) {
		return nil
	}
	config, err := c.build(files)
	if err != nil {
		return err
	}
	if c.config != nil {
		c.logger.Info("TLS files changed, new connections use them", slog.String(logkey.Path, c.certFile))
	}
	c.pem, c.config = files, config
	return nil
}

func (c *certificates) read() (files pemFiles, err error) {
	if files.cert, err = os.ReadFile(c.certFile); err != nil {
		return pemFiles{}, fmt.Errorf("--tls-cert-file %q: %w: give a readable PEM file", c.certFile, err)
	}
	if files.key, err = os.ReadFile(c.keyFile); err != nil {
		return pemFiles{}, fmt.Errorf("--tls-key-file %q: %w: give a readable PEM file", c.keyFile, err)
	}
	if c.clientCAFile == "" {
		return files, nil
	}
	if files.clientCA, err = os.ReadFile(c.clientCAFile); err != nil {
		return pemFiles{}, fmt.Errorf("--client-ca-file %q: %w: give a readable PEM file", c.clientCAFile, err)
	}
	return files, nil
}

func (c *certificates) build(files pemFiles) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(files.cert, files.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert-file %q and --tls-key-file %q: %w: give a PEM certificate and its own key", c.certFile, c.keyFile, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2"},
		// A resumed session would not be checked against a client CA that has changed since.
		SessionTicketsDisabled: true,
	}
	if c.clientCAFile == "" {
		return config, nil
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(files.clientCA) {
		return nil, fmt.Errorf("--client-ca-file %q holds no certificate: give CA certificates in PEM", c.clientCAFile)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
