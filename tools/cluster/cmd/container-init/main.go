// Command container-init is the first process of each container, which sets up
// the container's surroundings and then becomes its program. The node starts it.
//
// It is a program of its own because the cluster's would spend 70 ms on the
// initialisation of its packages before it could begin.
package main

import "stormgate.internal/tools/cluster/internal/node/process/containerinit"

func main() { containerinit.Main() }
