package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsFiles say how somebody is spoken to by TLS.
type tlsFiles struct {
	CA, Cert, Key string // paths; empty for none
	ServerName    string
}

// config reads the files. Errors name their setting, with the prefix before it. The certificate that we show is read for
// each connection, so that a renewed one is used at once.
func (f tlsFiles) config(prefix string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		text, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("%stls.ca_file: %w", prefix, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%stls.ca_file: %s holds no certificate", prefix, f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New(prefix + "tls.cert_file and " + prefix + "tls.key_file are only of use together")
	}
	if f.Cert == "" {
		return c, nil
	}
	if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
		return nil, fmt.Errorf("%stls.cert_file: %w", prefix, err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		return &pair, err
	}
	return c, nil
}
