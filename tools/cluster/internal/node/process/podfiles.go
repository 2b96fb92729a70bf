package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
	resolv, err := resolvConf(s.config.GetDnsConfig())
	if err != nil {
		return fail(err)
	}
	hostname := s.config.GetHostname()
	if hostname == "" {
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
	shm := filepath.Join(s.dir, shmDir)
	if err := os.Mkdir(shm, 0o755); err != nil {
		return fail(err)
	}
	if err := os.Chmod(shm, 0o1777); err != nil {
		return fail(err)
	}
	return nil
}

// resolvConf is the pod's resolver configuration, or the node's when the pod
// has none.
func resolvConf(dns *rt.DNSConfig) (string, error) {
	if len(dns.GetServers())+len(dns.GetSearches())+len(dns.GetOptions()) == 0 {
		node, err := os.ReadFile("/etc/resolv.conf")
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return string(node), err
	}
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
	return b.String(), nil
}
