package kafka

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const (
	// FetchWait is how long a broker may hold a live fetch for the first message. It is also the longest a shard
	// waits to join the fetch under way, once in its life.
	FetchWait = 100 * time.Millisecond
	// WarmWait is the same for warm-up and look-up, where a shard that just joined must not wait for the others.
	WarmWait = 10 * time.Millisecond
	// InFlight is how many messages of one shard the producer may hold: as many as sarama buffers for one
	// partition, so that a partition whose broker is away never blocks the others.
	InFlight = 256

	// retries of a batch inside the producer cover a leader change.
	produceRetries = 5
	retryBackoff   = 100 * time.Millisecond
	// metadataBackoff is short because every caller here tries again by itself.
	metadataBackoff = 100 * time.Millisecond
)

// version is the protocol that all supported brokers speak: 2.8 brought topic ids, and sarama lowers each request
// to what the broker says it knows.
func version() sarama.KafkaVersion { return sarama.V2_8_0_0 }

// Producer is for a client that only writes. It must not be shared with a fetch: an idempotent producer keeps one
// request open a connection, so a fetch that waits for messages would hold every write back for as long.
func (o Options) Producer() (*sarama.Config, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	config.Net.MaxOpenRequests = 1
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Timeout = o.Timeout
	config.Producer.Retry.Max = produceRetries
	config.Producer.Retry.Backoff = retryBackoff
	// No linger: what arrives while one request is open forms the next batch.
	config.Producer.Flush.Frequency = 0
	config.ChannelBufferSize = InFlight
	return config, nil
}

// Fetcher is for a client that only reads the ends of logs, where the broker waits for messages.
func (o Options) Fetcher() (*sarama.Config, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	config.Consumer.MaxWaitTime = FetchWait
	return config, nil
}

// Lookup is for a client that finds offsets and reads what is there already: warm-up, late resumes, administration.
func (o Options) Lookup() (*sarama.Config, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	config.Consumer.MaxWaitTime = WarmWait
	return config, nil
}

// config is what all roles share.
func (o Options) config() (*sarama.Config, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	config := sarama.NewConfig()
	config.Version = version()
	config.ClientID = o.ClientID
	config.Net.DialTimeout = o.Timeout
	config.Net.ReadTimeout = o.Timeout
	config.Net.WriteTimeout = o.Timeout
	config.Admin.Timeout = o.Timeout
	config.Metadata.Full = false
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.Retry.Max = 1
	config.Metadata.Retry.Backoff = metadataBackoff
	// One record batch always comes whole, whatever these bounds say, so no message can block a shard.
	config.Consumer.Fetch.Min = 1
	config.Consumer.Fetch.Default = 1 << 20
	config.Consumer.Fetch.MaxBytes = 16 << 20
	if err := o.encrypt(config); err != nil {
		return nil, err
	}
	if err := o.authenticate(config); err != nil {
		return nil, err
	}
	return config, nil
}

func (o Options) encrypt(config *sarama.Config) error {
	if !o.secure() {
		return nil
	}
	config.Net.TLS.Enable = true
	config.Net.TLS.Config = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return fmt.Errorf("--kafka-tls-ca: %w", err)
		}
		config.Net.TLS.Config.RootCAs = x509.NewCertPool()
		if !config.Net.TLS.Config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--kafka-tls-ca %q holds no PEM certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return fmt.Errorf("--kafka-tls-cert %q with --kafka-tls-key %q: %w", o.CertFile, o.KeyFile, err)
		}
		config.Net.TLS.Config.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func (o Options) authenticate(config *sarama.Config) error {
	if o.Mechanism == "" {
		return nil
	}
	text, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return fmt.Errorf("--kafka-sasl-password-file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return fmt.Errorf("--kafka-sasl-password-file %q is empty: write the password into it", o.PasswordFile)
	}
	config.Net.SASL.Enable = true
	config.Net.SASL.Mechanism = sarama.SASLMechanism(o.Mechanism)
	config.Net.SASL.User = o.Username
	config.Net.SASL.Password = password
	switch o.Mechanism {
	case sarama.SASLTypeSCRAMSHA256:
		config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scram{hash: sha256.New} }
	case sarama.SASLTypeSCRAMSHA512:
		config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scram{hash: sha512.New} }
	}
	return nil
}
