package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// mountOptions are those that a volume mount may carry.
var mountOptions = map[string]uint64{
	"noexec": unix.MOUNT_ATTR_NOEXEC, "nodev": unix.MOUNT_ATTR_NODEV, "nosuid": unix.MOUNT_ATTR_NOSUID,
}

// checkSupported refuses what the runtime would otherwise silently not do.
func checkSupported(config *rt.ContainerConfig) error {
	sc := securityContext(config)
	if sc.GetSeccomp().GetProfileType() == rt.SecurityProfile_Localhost || sc.GetApparmor().GetProfileType() == rt.SecurityProfile_Localhost {
		return errors.New("seccomp and AppArmor profiles of type Localhost are not supported")
	}
	if len(config.GetCDIDevices()) > 0 {
		return errors.New("CDI devices are not supported")
	}
	for _, m := range config.GetMounts() {
		switch {
		case m.GetImage() != nil:
			return fmt.Errorf("volume at %s: image volumes are not supported; list the files in the container's image", m.GetContainerPath())
		case m.GetPropagation() == rt.MountPropagation_PROPAGATION_BIDIRECTIONAL:
			return fmt.Errorf("volume at %s: Bidirectional mount propagation is not supported; HostToContainer is", m.GetContainerPath())
		case len(m.GetUidMappings())+len(m.GetGidMappings()) > 0:
			return fmt.Errorf("volume at %s: id-mapped mounts are not supported", m.GetContainerPath())
		case !filepath.IsAbs(m.GetContainerPath()) || filepath.Clean(m.GetContainerPath()) == "/":
			return fmt.Errorf("volume at %q: not an absolute path below the root", m.GetContainerPath())
		}
		for _, o := range m.GetMountOptions() {
			if mountOptions[o] == 0 {
				return fmt.Errorf("volume at %s: unknown mount option %q", m.GetContainerPath(), o)
			}
		}
	}
	return nil
}

// containerLaunch describes a container's first process. The function it
// returns closes what it opened.
func (r *Runtime) containerLaunch(c *container) (*launch, func(), error) {
	if err := c.image.CheckFiles(); err != nil {
		return nil, nil, err
	}
	if err := makeVolumes(c.config); err != nil {
		return nil, nil, err
	}
	l := &launch{cloneFlags: unix.CLONE_NEWNS, stdin: c.config.GetStdin()}
	root, err := r.root(c)
	if err != nil {
		return nil, nil, err
	}
	l.spec.Root = *root
	l.spec.Process = c.mainProcess()
	var opened []*os.File
	release := func() {
		for _, f := range opened {
			f.Close()
		}
	}
	if err := r.joinNamespaces(c, l, &opened); err != nil {
		release()
		return nil, nil, err
	}
	return l, release, nil
}

// joinNamespaces adds the pod's namespaces to a launch, as descriptors of the
// launch's own: the pod may be stopped meanwhile.
func (r *Runtime) joinNamespaces(c *container, l *launch, opened *[]*os.File) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := c.sandbox
	if !s.ready {
		return status.Error(codes.FailedPrecondition, "the pod has been stopped")
	}
	add := func(f *os.File, flags int) error {
		d, err := duplicate(f)
		if err == nil {
			*opened = append(*opened, d)
			l.join = append(l.join, joined{d, flags})
		}
		return err
	}
	var errs []error
	if s.network != nil {
		errs = append(errs, add(s.network.NetNS(), unix.CLONE_NEWNET))
	}
	if s.uts != nil {
		errs = append(errs, add(s.uts, unix.CLONE_NEWUTS))
	}
	if s.ipc != nil {
		errs = append(errs, add(s.ipc, unix.CLONE_NEWIPC))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var err error
	switch options := namespaceOptions(c.config); options.GetPid() {
	case rt.NamespaceMode_CONTAINER:
		l.cloneFlags |= unix.CLONE_NEWPID
	case rt.NamespaceMode_POD:
		if s.pause == nil {
			return errors.New("the pod was made without a shared process namespace")
		}
		l.pid, err = s.pause.descriptor()
	case rt.NamespaceMode_TARGET:
		target := r.containers[options.GetTargetId()]
		if target == nil || target.sandbox != s || target.state != rt.ContainerState_CONTAINER_RUNNING {
			return fmt.Errorf("target container %q does not run in this pod", options.GetTargetId())
		}
		l.pid, err = target.process.descriptor()
	}
	if l.pid != nil {
		*opened = append(*opened, l.pid)
	}
	return err
}

// root describes the container's file system.
func (r *Runtime) root(c *container) (*containerinit.Root, error) {
	sc := securityContext(c.config)
	root := &containerinit.Root{
		MountPoint: r.rootDir, Readonly: sc.GetReadonlyRootfs(), WritableSys: sc.GetPrivileged(),
		MaskedPaths: sc.GetMaskedPaths(), ReadonlyPaths: sc.GetReadonlyPaths(),
		Texts: userDatabase(c.security), WorkingDir: c.workingDir(),
	}
	if sc.GetPrivileged() {
		root.MaskedPaths, root.ReadonlyPaths = nil, nil
	}
	root.Shm = filepath.Join(c.sandbox.dir, shmDir)
	if namespaces(c.sandbox.config).GetIpc() == rt.NamespaceMode_NODE {
		var err error
		if root.Shm, err = r.options.NodeShm(c.sandbox.config.GetMetadata().GetNamespace()); err != nil {
			return nil, fmt.Errorf("share memory with the node: %w", err)
		}
	}
	for _, target := range c.image.Targets() {
		root.Binds = append(root.Binds, containerinit.Bind{
			Source: c.image.Files[target], Target: target, Readonly: true, Name: fmt.Sprintf("image %q", c.image.Reference),
		})
	}
	for _, name := range []string{hostnameFile, hostsFile, resolvFile} {
		root.Binds = append(root.Binds, containerinit.Bind{
			Source: filepath.Join(c.sandbox.dir, name), Target: "/etc/" + name, Name: "pod file", Replace: true,
		})
	}
	for _, d := range c.config.GetDevices() {
		root.Binds = append(root.Binds, containerinit.Bind{Source: d.GetHostPath(), Target: d.GetContainerPath(), Name: "device"})
	}
	// A volume inside another one must come after it.
	depth := func(m *rt.Mount) int { return strings.Count(filepath.Clean(m.GetContainerPath()), "/") }
	mounts := slices.SortedStableFunc(slices.Values(c.config.GetMounts()), func(a, b *rt.Mount) int {
		return cmp.Compare(depth(a), depth(b))
	})
	for _, m := range mounts {
		b := containerinit.Bind{
			Source: m.GetHostPath(), Target: filepath.Clean(m.GetContainerPath()), Name: "volume", Readonly: m.GetReadonly(),
			Propagated: m.GetPropagation() == rt.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
			NoLinks:    below(r.options.HostRoot, m.GetHostPath()),
		}
		for _, o := range m.GetMountOptions() {
			b.Attributes |= mountOptions[o]
		}
		root.Binds = append(root.Binds, b)
	}
	return root, nil
}

// below reports whether path is dir or lies in it.
func below(dir, path string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}

// makeVolumes makes missing host directories, as a hostPath volume without a
// type expects.
func makeVolumes(config *rt.ContainerConfig) error {
	for _, m := range config.GetMounts() {
		_, err := os.Stat(m.GetHostPath())
		if errors.Is(err, fs.ErrNotExist) {
			err = os.MkdirAll(m.GetHostPath(), 0o755)
		}
		if err != nil {
			return fmt.Errorf("volume at %s: %w", m.GetContainerPath(), err)
		}
	}
	return nil
}

// userDatabase gives names to the users a program may ask for.
func userDatabase(s security) []containerinit.Text {
	passwd, group := "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\ntty:x:5:\n"
	if s.uid != 0 {
		passwd += fmt.Sprintf("user:x:%d:%d:user:/:/bin/sh\n", s.uid, s.gid)
	}
	if s.gid != 0 && s.gid != 5 {
		group += fmt.Sprintf("user:x:%d:\n", s.gid)
	}
	return []containerinit.Text{{Path: "/etc/passwd", Content: passwd}, {Path: "/etc/group", Content: group}}
}

func (c *container) workingDir() string {
	return cmp.Or(c.config.GetWorkingDir(), c.image.WorkingDir, "/")
}

// mainProcess is the container's program.
func (c *container) mainProcess() containerinit.Process {
	args := c.config.GetCommand()
	if len(args) == 0 {
		args = c.image.Entrypoint
	}
	return containerinit.Process{
		Args: slices.Concat(args, c.config.GetArgs()), Env: c.environment(c.config.GetTty()),
		Dir: c.workingDir(), Credentials: c.security.credentials(), Terminal: c.config.GetTty(),
	}
}

// environment is that of the container's program and of what is exec'd in it:
// a few defaults, the image's, the container's, later ones winning.
func (c *container) environment(terminal bool) []string {
	env := map[string]string{"PATH": defaultPath, "HOME": "/"}
	if c.security.uid == 0 {
		env["HOME"] = "/root"
	}
	if hostname := c.sandbox.config.GetHostname(); hostname != "" {
		env["HOSTNAME"] = hostname
	}
	if terminal {
		env["TERM"] = "xterm"
	}
	maps.Copy(env, c.image.Env)
	for _, kv := range c.config.GetEnvs() {
		env[kv.GetKey()] = string(kv.GetValue())
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
