// Package api is the interface of the cluster program, for the programs that
// run it and for the program itself.
//
// A client runs
//
//	cluster run --dir=DIR --images=FILE
//
// FILE holds a JSON list of [Image]. Standard output gets one [Event] a line.
// [Dir] names what DIR holds, among it the socket of the API server. The control
// interface gives a [Report], takes more images and a [Scope] for each environment, can
// end what runs in namespaces ([End]), and tells what happened: to containers
// ([Lives]), and by whom ([Writes]). The cluster ends when its standard input does.
//
// Credentials and changes are for the program that ran it, which has them by a
// connection that the cluster program inherits ([Start], [Process.Control],
// [Process.Kubeconfig]). A socket in DIR answers questions to all others.
//
// The package links no Kubernetes client.
package api

import "time"

const (
	// DefaultDeadline is how long a boot may take where --deadline does not say
	// otherwise. The program then ends with an EventFailed that names the part it
	// waited for.
	DefaultDeadline = 60 * time.Second
	// Overtime is what a client has to wait beyond the deadline: how long the
	// cluster's init may take to report that it missed the deadline, before the
	// launcher kills it and reports in its place.
	Overtime = 5 * time.Second
)

// LeaseNamespace holds the service accounts of leases. Each cluster has it.
const LeaseNamespace = "stormgate-leases"

// Paths of the control interface, which is HTTP: the whole of it over
// [Process.Control], GET alone on [Dir.ControlSocket]. The host in a URL does not
// matter.
const (
	// BootPath answers GET with a Report of current usages.
	BootPath = "/boot"
	// ImagesPath answers GET with the node's images, but for those of scopes. It takes
	// a JSON list of Image by PUT, which adds them and replaces those of the same
	// reference.
	ImagesPath = "/images"
)
