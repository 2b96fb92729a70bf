package node

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// restConfig reads a kubeconfig for clients that speak protobuf and are not
// throttled: there is one node, and tests are in a hurry. Their requests wait
// until served is closed, unless it is nil.
func restConfig(kubeconfig string, served <-chan struct{}) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.QPS = -1
	if served != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return waitingTransport{next, served} })
	}
	return config, nil
}

// waitingTransport holds back requests that an API server which does not serve
// yet would refuse: what asks would then wait for a second or more by itself.
type waitingTransport struct {
	http.RoundTripper
	served <-chan struct{}
}

func (t waitingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	select {
	case <-t.served:
		return t.RoundTripper.RoundTrip(request)
	case <-request.Context().Done():
		return nil, fmt.Errorf("wait for the API server: %w", context.Cause(request.Context()))
	}
}

func clientFor(kubeconfig string, served <-chan struct{}) (*kubernetes.Clientset, error) {
	config, err := restConfig(kubeconfig, served)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client of %s: %w", kubeconfig, err)
	}
	return client, nil
}
