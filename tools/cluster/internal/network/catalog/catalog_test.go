package catalog_test

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stormgate.internal/tools/cluster/internal/network/catalog"
	"stormgate.internal/tools/cluster/internal/network/networktest"
)

// On a cluster that is starting, the proxy's role comes after the API does. An
// informer that meets the refusal backs off; the catalog must not.
func TestCatalogWaitsForPermissionWithoutBackingOff(t *testing.T) {
	api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"))
	api.SetForbidden(true)
	catalog := api.Catalog(t)
	// Eight refusals of each kind would have taken an informer a minute.
	networktest.Eventually(t, "the API was asked 16 times", func() bool { return api.ListCount() >= 16 })
	select {
	case <-catalog.Synced():
		t.Fatal("synced while the API refuses")
	default:
	}
	api.SetForbidden(false)
	networktest.Eventually(t, "the service is there", func() bool { return catalog.Service("default", "web") != nil })
}

func TestCatalogEndsWhileItWaits(t *testing.T) {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1", QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := catalog.New(client, networktest.Quiet()).Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil at the end of its context", err)
	}
}

func TestCatalogForgetsWhatIsDeleted(t *testing.T) {
	web := networktest.Service("default/web", "10.96.0.5", "http:TCP:80")
	api := networktest.NewAPI(t, web)
	catalog := api.Catalog(t)
	networktest.Eventually(t, "the service is there", func() bool { return catalog.Service("default", "web") != nil })
	if !catalog.HasNamespace("default") || catalog.HasNamespace("other") {
		t.Error("the namespaces of services are not known")
	}
	api.Remove(web)
	networktest.Eventually(t, "the service is gone", func() bool { return catalog.Service("default", "web") == nil })
	if catalog.HasNamespace("default") {
		t.Error("a namespace outlives its last service")
	}
}
