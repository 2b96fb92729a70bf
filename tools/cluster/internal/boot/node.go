package boot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/pki"
)

// newNode returns the node as a component. It is ready, as a process, when its
// control socket answers; the Node object's Ready condition comes later.
func (in *initProcess) newNode(files pki.Files) (*controlplane.Component, error) {
	journal, err := in.journal("node")
	if err != nil {
		return nil, err
	}
	socket := in.spec.Paths.nodeControl()
	args := []string{
		"--name=" + NodeName,
		"--ip=" + NodeIP,
		"--root=" + in.spec.Paths.nodeData(),
		"--control=" + socket,
		"--kubeconfig=" + files.Node,
		"--proxy-kubeconfig=" + files.ServiceProxy,
		"--client-ca-file=" + files.Authority,
		"--tls-cert-file=" + files.Kubelet.Certificate,
		"--tls-private-key-file=" + files.Kubelet.Key,
	}
	if in.spec.ImagesFile != "" {
		args = append(args, "--images="+in.spec.ImagesFile)
	}
	client := &http.Client{Transport: unixTransport(socket), Timeout: 5 * time.Second}
	return &controlplane.Component{
		Name: "node", Args: args, Env: os.Environ(), Log: journal,
		Probe: controlplane.HTTPProbe(client, "http://node"+api.ImagesPath),
	}, nil
}

// pollInterval is how often the boot looks at the API for what it waits for,
// while the API server is busiest.
const pollInterval = 20 * time.Millisecond

// poll calls check until it returns nil. At the end of ctx it returns the last
// answer with the reason.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w; last answer: %w", what, context.Cause(ctx), last)
	}
	return nil
}

func waitNodeReady(ctx context.Context, client kubernetes.Interface) error {
	return poll(ctx, "node "+NodeName+" to be Ready", func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				if condition.Status == corev1.ConditionTrue {
					return nil
				}
				return fmt.Errorf("its Ready condition is %s: %s", condition.Status, condition.Message)
			}
		}
		return errors.New("it has no Ready condition yet")
	})
}

func defaultServiceAccount(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}
