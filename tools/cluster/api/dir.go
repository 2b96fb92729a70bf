package api

import "path/filepath"

// MaxSocketPath is the length in bytes of the longest path that a unix socket can
// have: sun_path of unix(7) is 108 bytes with its terminator. The longest path in
// a Dir is [Dir.ControlSocket].
const MaxSocketPath = 107

// Dir is the directory of one cluster, which "cluster run --dir" names. Its
// methods return the paths of what a client finds in it; all of it is removed
// when the cluster ends, but for what --keep-logs keeps.
type Dir string

// APISocket is kube-apiserver's TLS port, as a unix socket. The kubeconfigs of
// this directory are for it.
func (d Dir) APISocket() string { return d.join("api.sock") }

// ControlSocket serves the control interface, see [BootPath], [ImagesPath],
// [ScopesPath], [EndPath], [LivesPath] and [WritesPath].
// It has the longest name of all sockets of the directory.
func (d Dir) ControlSocket() string { return d.join("control.sock") }

// AdminKubeconfig is the cluster administrator's.
func (d Dir) AdminKubeconfig() string { return d.join("admin.kubeconfig") }

// FixtureKubeconfig is an administrator's with a name of its own, "stormgate:fixture":
// what the fixture does is told apart from what a person does.
func (d Dir) FixtureKubeconfig() string { return d.join("fixture.kubeconfig") }

// SuiteKubeconfig is a test suite's: it may run and watch workloads, and can not
// become an administrator.
func (d Dir) SuiteKubeconfig() string { return d.join("suite.kubeconfig") }

// Kubeconfig is the administrator's over a TCP port of the host's loopback.
// Only "cluster up" and "cluster run --expose" make it.
func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }

// BootReport is a [Report] as JSON. --keep-logs keeps it.
func (d Dir) BootReport() string { return d.join("boot.json") }

// Logs holds one file a component. --keep-logs keeps it.
func (d Dir) Logs() string { return d.join("logs") }

// Log is the log of one component, such as "etcd".
func (d Dir) Log(component string) string { return filepath.Join(d.Logs(), component+".log") }

func (d Dir) join(name string) string { return filepath.Join(string(d), name) }
