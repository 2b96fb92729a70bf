package faultproxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"k8s.io/client-go/rest"

	"stormgate.internal/tools/faultproxy"
)

// overloaded refuses the next two attempts to create a ConfigMap in namespace shop.
var overloaded = faultproxy.Rule{
	ID:    "overloaded",
	Match: faultproxy.Match{Namespace: "shop", Verbs: []string{"create"}, Resource: "configmaps"},
	Count: 2,
	Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: http.StatusTooManyRequests},
}

// A test puts the proxy between its program and the API server, and sets the rules
// itself.
func Example() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
	}))
	defer api.Close()
	logger := slog.New(slog.DiscardHandler)
	proxy, err := faultproxy.New(&rest.Config{Host: api.URL}, logger)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(proxy)
	defer server.Close()

	if err := proxy.Put(overloaded); err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		response, err := http.Post(server.URL+"/api/v1/namespaces/shop/configmaps", "application/json", strings.NewReader("{}"))
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
		fmt.Println(response.Status)
	}
	state, _ := proxy.Delete(overloaded.ID)
	fmt.Println("attempts that met the fault:", state.Hits)
	// Output:
	// 429 Too Many Requests
	// 429 Too Many Requests
	// 201 Created
	// attempts that met the fault: 2
}

// A proxy that runs elsewhere, as in a cluster, is set through its Control.
func ExampleClient() {
	proxy, err := faultproxy.New(&rest.Config{Host: "https://kubernetes.default.svc"}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	control := httptest.NewServer(proxy.Control())
	defer control.Close()

	ctx := context.Background()
	client := &faultproxy.Client{URL: control.URL}
	if err := client.Put(ctx, overloaded); err != nil {
		fmt.Println(err)
		return
	}
	state, err := client.Delete(ctx, overloaded.ID)
	fmt.Println("attempts that met the fault:", state.Hits, err)
	// Output:
	// attempts that met the fault: 0 <nil>
}
