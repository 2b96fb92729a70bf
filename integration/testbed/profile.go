package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Profile reads one of the gateway's profiles, such as "heap?gc=1" or
// "profile?seconds=5", which takes so long.
func (g *Gateway) Profile(ctx context.Context, name string) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("take profile %s: %w", name, err) }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.at.Load().debug+"/debug/pprof/"+name, nil)
	if err != nil {
		return fail(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fail(err)
	}
	if response.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("%s: %.200s", response.Status, content))
	}
	return content, nil
}

// LiveHeap is the size of the gateway's heap after a garbage collection, in bytes.
func (g *Gateway) LiveHeap(ctx context.Context) (int64, error) {
	// The end of the text form is runtime.MemStats.
	text, err := g.Profile(ctx, "heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n# HeapAlloc = ")
	line, _, _ := strings.Cut(rest, "\n")
	bytes, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("find HeapAlloc in heap profile: %w", err)
	}
	return bytes, nil
}

// Goroutines is the gateway's number of goroutines.
func (g *Gateway) Goroutines(ctx context.Context) (int, error) {
	text, err := g.Profile(ctx, "goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(string(text), "goroutine profile: total %d", &n); err != nil {
		return 0, fmt.Errorf("read goroutine profile: %w", err)
	}
	return n, nil
}
