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

// APISocket is kube-apiserver's TLS port, as a unix socket. It takes no anonymous
// requests.
func (d Dir) APISocket() string { return d.join("api.sock") }

// ControlSocket answers the control interface's questions: GET of [BootPath],
// [ImagesPath], [LivesPath] and [WritesPath]. Whoever may enter the directory may ask,
// so it takes no change, see [ReadOnly]; [Process.Control] does.
// It has the longest name of all sockets of the directory.
func (d Dir) ControlSocket() string { return d.join("control.sock") }

// Kubeconfig is the administrator's over a TCP port of the host's loopback, for a
// person. Only "cluster up" and "cluster run --expose" make it: the directory of any
// other cluster holds no credentials.
func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }

// BootReport is a [Report] as JSON. --keep-logs keeps it.
func (d Dir) BootReport() string { return d.join("boot.json") }

// Logs holds one file a component. --keep-logs keeps it.
func (d Dir) Logs() string { return d.join("logs") }

// Log is the log of one component, such as "etcd".
func (d Dir) Log(component string) string { return filepath.Join(d.Logs(), component+".log") }

func (d Dir) join(name string) string { return filepath.Join(string(d), name) }
