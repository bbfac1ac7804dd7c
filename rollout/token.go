package rollout

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// An API token is written vir_<id>_<secret><check>: a prefix that scanners for leaked secrets find, an id to look it
// up by, 131 bits of secret, and a checksum by which a mistyped token is refused before anybody asks the database.
const (
	tokenPrefix  = "vir_"
	tokenIDLen   = 10
	secretLen    = 22 // 22 · log2(62) = 131 bits
	checkLen     = 6  // 62^6 > 2^32
	maxTokenID   = 64
	base62Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// NewToken makes an API token from random, which must be a cryptographic source, and returns it with its id. The
// token is shown once and never kept: keep [TokenHash] of it. The error is that of reading random.
func NewToken(random io.Reader) (id, token string, err error) {
	digits, err := base62(random, tokenIDLen+secretLen)
	if err != nil {
		return "", "", fmt.Errorf("make a token: %w", err)
	}
	id = digits[:tokenIDLen]
	body := tokenPrefix + id + "_" + digits[tokenIDLen:]
	return id, body + tokenCheck(body), nil
}

// ParseToken returns the id of a token and its [TokenHash]; ok is false when it is not written as a token is, or when
// its checksum is wrong. A true ok says nothing about whether the token exists.
func ParseToken(token string) (id string, hash []byte, ok bool) {
	rest, found := strings.CutPrefix(token, tokenPrefix)
	id, secret, two := strings.Cut(rest, "_")
	if !found || !two || id == "" || len(id) > maxTokenID || len(secret) != secretLen+checkLen || !isBase62(id) || !isBase62(secret) {
		return "", nil, false
	}
	at := len(token) - checkLen
	if tokenCheck(token[:at]) != token[at:] {
		return "", nil, false
	}
	return id, TokenHash(token), true
}

// TokenHash is what is kept of a token: its SHA-256. The secret is random and long, so that nothing slower is needed.
func TokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func tokenCheck(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var out [checkLen]byte
	for i := checkLen - 1; i >= 0; i-- {
		out[i] = base62Digits[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// base62 reads n digits, each equally likely: bytes that would favour some are thrown away.
func base62(random io.Reader, n int) (string, error) {
	const fair = 256 - 256%62
	out := make([]byte, 0, n)
	buffer := make([]byte, 2*n)
	for len(out) < n {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", err
		}
		for _, b := range buffer {
			if b < fair && len(out) < n {
				out = append(out, base62Digits[b%62])
			}
		}
	}
	return string(out), nil
}

func isBase62(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(base62Digits, r) }) < 0
}
