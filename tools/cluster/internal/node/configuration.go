package node

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/csi"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/hostpath"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/secret"

	"stormgate.internal/tools/cluster/internal/node/process"
)

// kubeletPort is where the API server finds the kubelet.
const kubeletPort = 10250

// volumeStatsPeriod is how often the files in volumes are counted. The kubelet
// looks at the counts every 10 s.
const volumeStatsPeriod = 10 * time.Second

// featureGates are those that differ from upstream's defaults, or on which the
// node depends.
var featureGates = map[string]bool{
	// No /dev/kmsg and no sysctls: the node has a user namespace's rights.
	"KubeletInUserNamespace": true,
	// The runtime reports exits at once; without it the kubelet looks once a second.
	"EventedPLEG":        true,
	"PLEGOnDemandRelist": true,
	// A container that crashed is started again after 1 s and not 10 s.
	"ReduceDefaultCrashLoopBackOffDecay": true,
}

// kubeletServer makes the kubelet's flags and configuration, and the
// directories they name.
func (n *node) kubeletServer() (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = n.directory("kubelet")
	flags.CertDirectory = n.directory("pki")
	flags.HostnameOverride = n.options.Name
	flags.NodeIP = n.options.IP.String()

	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("make kubelet's default configuration: %w", err)
	}
	n.secure(config)
	config.Address = n.options.IP.String()
	config.Port = kubeletPort
	config.ReadOnlyPort = 0
	config.HealthzPort = 0
	config.PodLogsDir = n.directory("logs")
	config.ClusterDNS = []string{n.options.ClusterDNS.String()}
	config.ClusterDomain = n.options.ClusterDomain
	config.ResolverConfig = filepath.Join(n.options.Root, "resolv.conf")
	config.MaxPods = 200
	config.RegisterNode = true
	config.SerializeImagePulls = false

	// Nothing touches cgroups, iptables or swap.
	config.CgroupsPerQOS = false
	config.EnforceNodeAllocatable = nil
	config.MakeIPTablesUtilChains = false
	config.FailSwapOn = false
	// No eviction: the node's disk is memory that it shares with the machine,
	// and a machine short of memory is no reason to fail a test's pod.
	config.EvictionHard = map[string]string{}
	config.EnableControllerAttachDetach = false
	// Pods that go beyond a sizeLimit or a limit of ephemeral storage are evicted
	// all the same: by these figures, which are a minute old by default.
	config.VolumeStatsAggPeriod.Duration = volumeStatsPeriod

	config.SyncFrequency.Duration = 10 * time.Second
	config.NodeStatusUpdateFrequency.Duration = 5 * time.Second
	config.NodeStatusReportFrequency.Duration = time.Minute
	config.CrashLoopBackOff.MaxContainerRestartPeriod = &metav1.Duration{Duration: 2 * time.Second}
	config.EventRecordQPS = 0
	config.RegistryPullQPS = 0
	if config.MaxOpenFiles, err = openFilesLimit(); err != nil {
		return nil, err
	}
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}, n.makeKubeletFiles(flags, config)
}

// secure lets in who has a certificate of the cluster's authority or a token
// that the API server knows, to what the API server allows them.
func (n *node) secure(config *kubeletconfig.KubeletConfiguration) {
	config.TLSCertFile = n.options.TLSCertFile
	config.TLSPrivateKeyFile = n.options.TLSKeyFile
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.X509.ClientCAFile = n.options.ClientCAFile
	config.Authentication.Webhook.Enabled = true
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
}

// makeKubeletFiles makes directories and the resolv.conf of pods that want the
// node's: it names cluster DNS, as there is no other server.
func (n *node) makeKubeletFiles(flags *options.KubeletFlags, config *kubeletconfig.KubeletConfiguration) error {
	for _, directory := range []string{flags.RootDirectory, flags.CertDirectory, config.PodLogsDir} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return fmt.Errorf("make kubelet's directory: %w", err)
		}
	}
	content := fmt.Sprintf("nameserver %s\n", n.options.ClusterDNS)
	if err := os.WriteFile(config.ResolverConfig, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write the node's resolv.conf: %w", err)
	}
	return nil
}

// openFilesLimit is what the process may raise its limit to.
func openFilesLimit() (int64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read limit of open files: %w", err)
	}
	return int64(limit.Max), nil
}

// volumePlugins are the kinds of volumes that need no device.
func volumePlugins(roots *hostRoots) ([]volume.VolumePlugin, error) {
	user, group, err := process.Mapped()
	if err != nil {
		return nil, err
	}
	plugins := csi.ProbeVolumePlugins()
	for _, plugin := range hostpath.ProbeVolumePlugins(volume.VolumeConfig{}) {
		plugins = append(plugins, &rootedPlugin{VolumePlugin: plugin, roots: roots})
	}
	for _, kind := range [][]volume.VolumePlugin{
		emptydir.ProbeVolumePlugins(),
		secret.ProbeVolumePlugins(),
		configmap.ProbeVolumePlugins(),
		downwardapi.ProbeVolumePlugins(),
		projected.ProbeVolumePlugins(),
	} {
		for _, plugin := range kind {
			plugins = append(plugins, &ownedPlugin{VolumePlugin: plugin, user: user, group: group})
		}
	}
	return plugins, nil
}
