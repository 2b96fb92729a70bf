package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Files that all containers of a pod share, below the sandbox's directory.
const (
	hostnameFile = "hostname"
	hostsFile    = "hosts"
	resolvFile   = "resolv.conf"
	shmDir       = "shm"
)

func (r *Runtime) sandboxesDir() string { return filepath.Join(r.options.Root, "sandboxes") }

// writePodFiles makes the sandbox's directory. The kubelet mounts its own
// /etc/hosts over ours for most pods.
func (r *Runtime) writePodFiles(s *sandbox) error {
	s.dir = filepath.Join(r.sandboxesDir(), s.id)
	fail := func(err error) error { return fmt.Errorf("make the pod's files in %s: %w", s.dir, err) }
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return fail(err)
	}
	resolv := resolvConf(s.config.GetDnsConfig())
	hostname := s.config.GetHostname()
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return fail(err)
		}
	}
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" + s.ip + "\t" + hostname + "\n"
	for name, content := range map[string]string{hostnameFile: hostname + "\n", hostsFile: hosts, resolvFile: resolv} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
			return fail(err)
		}
	}
	if err := s.mountShm(); err != nil {
		return fail(err)
	}
	return nil
}

// shmSize bounds a pod's /dev/shm, as the usual runtimes do. Pods that need more
// mount an emptyDir with medium Memory there.
const shmSize = "64m"

// mountShm makes the shared memory of the pod's containers.
func (s *sandbox) mountShm() error {
	path := filepath.Join(s.dir, shmDir)
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("shm", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size="+shmSize); err != nil {
		return fmt.Errorf("mount shared memory: %w", err)
	}
	return nil
}

// unmountShm does nothing where there is none.
func (s *sandbox) unmountShm() error {
	err := unix.Unmount(filepath.Join(s.dir, shmDir), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount shared memory: %w", err)
	}
	return nil
}

// resolvConf is the pod's resolver configuration, which the kubelet always
// gives; the machine's would be of no use, nor a pod's business.
func resolvConf(dns *rt.DNSConfig) string {
	var b strings.Builder
	for _, server := range dns.GetServers() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if searches := dns.GetSearches(); len(searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(searches, " "))
	}
	if options := dns.GetOptions(); len(options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	}
	return b.String()
}
