package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	noopoteltrace "go.opentelemetry.io/otel/trace/noop"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/kubelet"
	podconfig "k8s.io/kubernetes/pkg/kubelet/config"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubelettypes "k8s.io/kubernetes/pkg/kubelet/types"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
)

// registrationPoll is how often the API server is asked for the own Node
// object before pods are watched; the kubelet's own step is a second.
const registrationPoll = 10 * time.Millisecond

// heartbeatTimeout bounds one status or lease update.
const heartbeatTimeout = 10 * time.Second

// startKubelet starts the upstream kubelet. It can't be stopped again.
func (n *node) startKubelet(ctx context.Context) error {
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(featureGates); err != nil {
		return fmt.Errorf("set the kubelet's feature gates: %w", err)
	}
	server, err := n.kubeletServer()
	if err != nil {
		return err
	}
	dependencies, err := n.kubeletDependencies(ctx, server)
	if err != nil {
		return err
	}
	if err := kubeletapp.RunKubelet(ctx, server, dependencies); err != nil {
		return fmt.Errorf("start kubelet: %w", err)
	}
	return nil
}

// kubeletDependencies are the parts of a kubelet that are ours to choose: no
// cgroups, few mounts (most volumes are plain directories that the runtime binds
// into containers, see mounter), no cAdvisor; all else is upstream's.
func (n *node) kubeletDependencies(ctx context.Context, server *options.KubeletServer) (*kubelet.Dependencies, error) {
	config, err := restConfig(n.options.Kubeconfig, n.options.Served)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make kubelet's client: %w", err)
	}
	config.Timeout = heartbeatTimeout
	heartbeat, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make kubelet's heartbeat client: %w", err)
	}
	tls, err := kubeletapp.InitializeTLS(ctx, &server.KubeletFlags, &server.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("set up kubelet's TLS: %w", err)
	}
	auth, runAuth, err := kubeletapp.BuildAuth(types.NodeName(n.options.Name), client, server.KubeletConfiguration)
	if err != nil {
		return nil, fmt.Errorf("set up kubelet's authorization: %w", err)
	}
	runAuth(ctx.Done())
	plugins, err := volumePlugins(n.hosts)
	if err != nil {
		return nil, err
	}
	mounter := newMounter()
	machine := newMachine(n.options.Name, n.options.Root)
	dependencies := &kubelet.Dependencies{
		Auth:                      auth,
		TLSOptions:                tls,
		KubeClient:                client,
		HeartbeatClient:           heartbeat,
		EventClient:               client.CoreV1(),
		Recorder:                  n.newRecorder(ctx, client),
		RemoteRuntimeService:      n.runtime,
		RemoteImageService:        n.runtime,
		CAdvisorInterface:         machine,
		ContainerManager:          newContainerManager(machine),
		OSInterface:               withoutLogLinks{},
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		Mounter:                   mounter,
		Subpather:                 subpath.New(mounter),
		HostUtil:                  hostutil.NewHostUtil(),
		VolumePlugins:             plugins,
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.FromContext(ctx)),
		TracerProvider:            noopoteltrace.NewTracerProvider(),
		Options:                   []kubelet.Option{n.probeAtOnce},
	}
	dependencies.PodConfig = podconfig.NewPodConfig(dependencies.Recorder, dependencies.PodStartupLatencyTracker)
	podconfig.NewSourceApiserver(klog.FromContext(ctx), client, types.NodeName(n.options.Name),
		func() bool { return awaitNode(ctx, client, n.options.Name) },
		dependencies.PodConfig.Channel(ctx, kubelettypes.ApiserverSource))
	return dependencies, nil
}

// probeAtOnce makes the kubelet forget when it started. For as long as a probe's
// period after that, 10 s by default, it would begin each probe at a random moment
// of the period, lest it probes everything at once after a restart; ours never
// restarts with pods, and the first pod would be Ready up to 10 s late. Upstream
// has no setting for it.
func (n *node) probeAtOnce(k *kubelet.Kubelet) {
	started, err := proberStart(k)
	if err != nil {
		n.options.Logger.Warn("the first pods may be Ready late", "error", err)
		return
	}
	*started = time.Time{}
}

// proberStart finds a field that k8s.io/kubernetes does not export.
func proberStart(k *kubelet.Kubelet) (*time.Time, error) {
	manager := reflect.ValueOf(k).Elem().FieldByName("probeManager")
	if !manager.IsValid() || manager.Kind() != reflect.Interface || manager.Elem().Kind() != reflect.Pointer {
		return nil, errors.New("this kubelet has no field probeManager that holds a pointer")
	}
	start := manager.Elem().Elem().FieldByName("start")
	if !start.IsValid() || start.Type() != reflect.TypeFor[time.Time]() {
		return nil, errors.New("this kubelet's probeManager has no field start that is a time")
	}
	return (*time.Time)(start.Addr().UnsafePointer()), nil
}

func (n *node) newRecorder(ctx context.Context, client kubernetes.Interface) record.EventRecorderLogger {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartStructuredLogging(3)
	broadcaster.StartRecordingToSink(livingSink{&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")}, n.ends})
	return broadcaster.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: n.options.Name})
}

// awaitNode blocks until the Node object exists, and so returns false only
// when ctx ends: on false the kubelet would sleep for a second.
func awaitNode(ctx context.Context, client kubernetes.Interface, name string) bool {
	ticker := time.NewTicker(registrationPoll)
	defer ticker.Stop()
	for {
		if _, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// withoutLogLinks is the real OS but for one directory outside of the node's
// root, to which the kubelet links the logs of all containers for the sake of
// log collectors.
type withoutLogLinks struct{ kubecontainer.RealOS }

func (withoutLogLinks) Symlink(string, string) error { return nil }

func (o withoutLogLinks) MkdirAll(path string, mode os.FileMode) error {
	if path == kubelet.ContainerLogsDir {
		return nil
	}
	return o.RealOS.MkdirAll(path, mode)
}
