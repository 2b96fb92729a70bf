package ginkgo_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	bazelginkgo "stormgate.internal/tools/ginkgo"
)

// The TestMain of a suite whose specs need nothing around them. It does not return.
func ExampleMain() {
	TestMain := func(m *testing.M) {
		bazelginkgo.Main(bazelginkgo.Options{M: m, Name: "checkout"})
	}
	_ = TestMain
}

// A TestMain that has something to do after the specs must exit with the code.
func ExampleRun() {
	TestMain := func(m *testing.M) {
		code := bazelginkgo.Run(bazelginkgo.Options{M: m, Name: "checkout"})
		println("the specs of checkout ended with", code)
		os.Exit(code)
	}
	_ = TestMain
}

// All specs of a process share one server. If it does not start, the log, test.xml
// and Bazel call that a failure of the infrastructure, in the component "shop".
func ExampleOptions() {
	var shop *httptest.Server
	TestMain := func(m *testing.M) {
		bazelginkgo.Main(bazelginkgo.Options{
			M:         m,
			SetupName: "start the shop",
			Setup: func(ctx context.Context) error {
				shop = httptest.NewServer(http.NotFoundHandler())
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, shop.URL, nil)
				if err != nil {
					return err
				}
				response, err := shop.Client().Do(request)
				if err != nil {
					return shopError{err}
				}
				return response.Body.Close()
			},
			Release: func(context.Context) error {
				shop.Close()
				return nil
			},
		})
	}
	_ = TestMain
}

// shopError is a failure of the shop, and not of what the specs test.
type shopError struct{ error }

func (shopError) Infrastructure() bool { return true }

func (shopError) Component() string { return "shop" }

func (e shopError) Unwrap() error { return e.error }
