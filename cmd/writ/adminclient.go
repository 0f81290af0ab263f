package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// adminReply is a reply of the admin API as it came.
type adminReply struct {
	response *http.Response
	body     []byte
}

func (a *adminReply) status() int { return a.response.StatusCode }

// problem is the refusal that the reply holds.
func (a *adminReply) problem() refusal {
	var said refusal
	_ = json.Unmarshal(a.body, &said) // what is no problem says nothing
	return said
}

// err is nil for a success.
func (a *adminReply) err() error {
	if a.status()/100 == 2 {
		return nil
	}
	return errors.New(explain(a.response, a.body))
}

// exchange sends one request to the admin listener with the caller's token, which it gets first if there is none. An error means that there
// was no answer.
func (r *remote) exchange(ctx context.Context, method, path string, header http.Header, body any) (*adminReply, error) {
	if r.token == "" {
		issued, err := r.issue(ctx)
		if err != nil {
			return nil, err
		}
		r.token = issued.AccessToken
	}
	var content io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, r.adminURL+path, content)
	if err != nil {
		return nil, usage("--admin-url: %s", err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	reply, err := r.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w; is the server running, and is --admin-url right?", r.adminURL, errors.Unwrap(err))
	}
	defer reply.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(reply.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s was cut off: %w", r.adminURL, err)
	}
	return &adminReply{response: reply, body: raw}, nil
}

// each hands every item of a list to f, page by page.
func (r *remote) each(ctx context.Context, path string, query url.Values, f func(item json.RawMessage) error) error {
	ask := url.Values{"limit": {"100"}}
	for name, values := range query {
		ask[name] = values
	}
	for {
		reply, err := r.exchange(ctx, http.MethodGet, path+"?"+ask.Encode(), nil, nil)
		if err != nil {
			return err
		}
		if err := reply.err(); err != nil {
			return err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := json.Unmarshal(reply.body, &page); err != nil {
			return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
		}
		for _, item := range page.Items {
			if err := f(item); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		ask.Set("after", page.Next)
	}
}
