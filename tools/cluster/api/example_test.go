package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"stormgate.internal/tools/cluster/api"
)

// A client decodes the program's standard output event by event.
func ExampleEvent() {
	stdout := strings.NewReader(`{"event":"step","name":"etcd","start":0.15,"end":0.31,"cpuSeconds":0.12,"rssBytes":41943040}
{"event":"api"}
{"event":"failed","component":"node","error":"node ended unexpectedly: exit status 1","logTail":["no space left on device"]}
`)
	events := json.NewDecoder(stdout)
	for {
		var event api.Event
		if err := events.Decode(&event); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fmt.Println(err)
			return
		}
		switch event.Kind {
		case api.EventStep:
			fmt.Printf("%s took %.2f s\n", event.Step.Name, event.Step.End-event.Step.Start)
		case api.EventAPI:
			fmt.Println("manifests may be applied")
		case api.EventReady:
			fmt.Println("the cluster is complete")
		case api.EventFailed:
			fmt.Println(event.Failure)
			fmt.Println("its last words:", strings.Join(event.Failure.LogTail, "\n"))
		}
	}
	// Output:
	// etcd took 0.16 s
	// manifests may be applied
	// cluster failed: node: node ended unexpectedly: exit status 1
	// its last words: no space left on device
}

func ExampleReport_WriteTable() {
	report := api.Report{
		Ready: 2.1,
		Steps: []api.Step{
			{Name: "certificates", Start: 0.09, End: 0.11, Usage: api.Usage{CPUSeconds: 0.02, RSSBytes: 30 << 20}},
			{Name: "etcd", Start: 0.11, End: 0.31, Usage: api.Usage{CPUSeconds: 0.12, RSSBytes: 40 << 20}},
		},
	}
	fmt.Println("boot report:")
	if err := report.WriteTable(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// boot report:
	//           step  start s  end s  CPU s  RSS MiB
	//   certificates    0.090  0.110   0.02       30
	//           etcd    0.110  0.310   0.12       40
}

func ExampleDir() {
	dir := api.Dir("/tmp/c1")
	fmt.Println(dir.ControlSocket())
	fmt.Println(dir.Log("etcd"))
	// Output:
	// /tmp/c1/control.sock
	// /tmp/c1/logs/etcd.log
}
