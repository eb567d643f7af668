package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/stillmark/stillmark/probe/timestamp"
)

// A timestamp response is a few kilobytes; authorities answer within seconds.
const (
	maxStampResponse = 1 << 20
	stampTimeout     = 30 * time.Second
)

// readStamp reads the token that a third party left in a file, alone or in its response.
func readStamp(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	token, err := timestamp.Token(data)
	if err != nil {
		return nil, usageError(fmt.Errorf("%s: %w", path, err))
	}
	return token, nil
}

// requestStamp asks an RFC 3161 authority for a token over a digest (the HTTP
// binding of RFC 3161, section 3.4) and checks that it is for that digest.
func requestStamp(ctx context.Context, url string, digest [32]byte) ([]byte, error) {
	fail := func(err error) error {
		return &codedError{codeUnreached, fmt.Errorf("no timestamp from %s: %w; no timestamp was written, try again or name another authority", url, err)}
	}
	query, err := timestamp.Request(digest)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stampTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(query))
	if err != nil {
		return nil, usageError(err)
	}
	request.Header.Set("Content-Type", "application/timestamp-query")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fail(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStampResponse))
	if err != nil {
		return nil, fail(err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fail(fmt.Errorf("HTTP %s", response.Status))
	}
	token, err := timestamp.Accept(query, body) // same digest, same nonce
	if err != nil {
		return nil, fail(err)
	}
	return token, nil
}
