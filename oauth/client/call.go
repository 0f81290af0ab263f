package client

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxReply is the longest reply that is read: a thousand answers with their reasons are a quarter of it.
	maxReply = 4 << 20
	// attempts is how often a call is sent. None changes anything at the server, so each may be sent again.
	attempts = 2
	// pause is the longest wait before the second attempt; a random part of it is taken, so that many do not come at once.
	pause = 50 * time.Millisecond
)

// reply is what the server answered.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send makes the request and sends it, once more if no reply came. A reply of any status is no error. A 503 is a reply: it is not sent
// again, because a server that cannot tell now is not helped by twice the questions.
func (c *Client) send(ctx context.Context, method, path, contentType, authorization, body string) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	var last error
	for attempt := range attempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return nil, last
			case <-time.After(rand.N(pause)):
			}
		}
		request, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
		if err != nil {
			return nil, unavailable("%w", err)
		}
		request.Header.Set("Accept", "application/json")
		if contentType != "" {
			request.Header.Set("Content-Type", contentType)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		got, err := c.exchange(request)
		switch {
		case err != nil:
			last = unavailable("%s %s: %w", method, path, err)
		case got.status == http.StatusBadGateway || got.status == http.StatusGatewayTimeout: // a proxy that got no reply
			last = unavailable("%s %s: %s", method, path, got)
		default:
			return got, nil
		}
	}
	return nil, last
}

func (c *Client) exchange(request *http.Request) (*reply, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	if err != nil {
		return nil, fmt.Errorf("the reply was cut off: %w", err)
	}
	if len(body) > maxReply {
		return nil, fmt.Errorf("the reply is longer than %d bytes", maxReply)
	}
	return &reply{status: response.StatusCode, header: response.Header, body: body}, nil
}

// is reports whether a reply is 200 with a document of this media type.
func (r *reply) is(media string) bool {
	given, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	return r.status == http.StatusOK && err == nil && given == media
}

// String is the status and the first of what was said, for errors.
func (r *reply) String() string {
	text := fmt.Sprint(r.status)
	if said := strings.TrimSpace(string(r.body[:min(len(r.body), 200)])); said != "" {
		text += fmt.Sprintf(" %q", said)
	}
	if id := r.header.Get("X-Request-ID"); id != "" {
		text += fmt.Sprintf(" (request %.64q)", id)
	}
	return text
}

// verdict is what a reply other than a well-formed 200 means: this service is refused, its question is no good, or it cannot be told.
func (r *reply) verdict(path string) error {
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s: %s", ErrRefused, path, r)
	case http.StatusBadRequest:
		return fmt.Errorf("%w: %s: %s", ErrBadQuestion, path, r)
	default:
		return unavailable("%s: %s", path, r)
	}
}

const formType = "application/x-www-form-urlencoded"

// asClient sends a form with the service's id and secret, to the endpoints that demand them.
func (c *Client) asClient(ctx context.Context, path string, form url.Values) (*reply, error) {
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	// RFC 6749, section 2.3.1: both halves are form-encoded first.
	carrier := http.Request{Header: http.Header{}}
	carrier.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(secret))
	return c.send(ctx, http.MethodPost, path, formType, carrier.Header.Get("Authorization"), form.Encode())
}
