package faultproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Client sets the rules of a proxy elsewhere, through its Control.
type Client struct {
	// URL is the control's base URL, "http://127.0.0.1:1234".
	URL string
	// HTTP is http.DefaultClient if nil.
	HTTP *http.Client
}

// Put is Proxy.Put.
func (c *Client) Put(ctx context.Context, rule Rule) error {
	return c.do(ctx, http.MethodPut, rule.ID, rule, nil)
}

// Get returns a rule's state.
func (c *Client) Get(ctx context.Context, id string) (State, error) {
	var state State
	return state, c.do(ctx, http.MethodGet, id, nil, &state)
}

// Delete removes a rule and returns its last state. Its held requests go on.
func (c *Client) Delete(ctx context.Context, id string) (State, error) {
	var state State
	return state, c.do(ctx, http.MethodDelete, id, nil, &state)
}

func (c *Client) do(ctx context.Context, method, id string, in, out any) error {
	fail := func(err error) error { return fmt.Errorf("%s rule %q: %w", strings.ToLower(method), id, err) }
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fail(err)
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+"/rules/"+url.PathEscape(id), body)
	if err != nil {
		return fail(err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fail(err)
	}
	if response.StatusCode >= 300 {
		return fail(fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(answer))))
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fail(err)
	}
	return nil
}
