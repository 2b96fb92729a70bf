package network

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// On a cluster that is starting, the proxy's role comes after the API does. An
// informer that meets the refusal backs off; the catalog must not.
func TestCatalogWaitsForPermissionWithoutBackingOff(t *testing.T) {
	api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"))
	api.setForbidden(true)
	catalog := api.catalog(t)
	// Eight refusals of each kind would have taken an informer a minute.
	eventually(t, "the API was asked 16 times", func() bool { return api.listCount() >= 16 })
	select {
	case <-catalog.synced:
		t.Fatal("synced while the API refuses")
	default:
	}
	api.setForbidden(false)
	eventually(t, "the service is there", func() bool { return catalog.service("default", "web") != nil })
}

func TestCatalogEndsWhileItWaits(t *testing.T) {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1", QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := NewCatalog(client, quiet()).Run(ctx); err != nil {
		t.Errorf("Run = %v, want nil at the end of its context", err)
	}
}

func TestCatalogForgetsWhatIsDeleted(t *testing.T) {
	web := service("default/web", "10.96.0.5", "http:TCP:80")
	api := newAPI(t, web)
	catalog := api.catalog(t)
	eventually(t, "the service is there", func() bool { return catalog.service("default", "web") != nil })
	if !catalog.hasNamespace("default") || catalog.hasNamespace("other") {
		t.Error("the namespaces of services are not known")
	}
	api.remove(web)
	eventually(t, "the service is gone", func() bool { return catalog.service("default", "web") == nil })
	if catalog.hasNamespace("default") {
		t.Error("a namespace outlives its last service")
	}
}
