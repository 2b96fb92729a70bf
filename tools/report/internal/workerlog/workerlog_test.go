package workerlog

import (
	"strings"
	"testing"
	"time"
)

const sample = `time=2026-11-30T09:00:00.000Z level=INFO msg="worker started" pid=7 dir=/x
time=2026-11-30T12:00:10.060Z level=INFO msg="cluster boot started" boot=1 binary=bin/cluster
time=2026-11-30T12:00:10.070Z level=INFO msg="environment deployment started" deploy=1 environment=//e2e:storm digest=d9 replaces="//e2e:calm, //e2e:old"
time=2026-11-30T12:00:11.900Z level=INFO msg="cluster step" step="node ready" start=1.2 end=1.8
time=2026-11-30T12:00:13.200Z level=INFO msg="environment deployed" deploy=1 environment=//e2e:storm digest=d9 seconds=3.13
time=2026-11-30T12:00:13.210Z level=INFO msg="lease granted" environment=//e2e:storm holder="//e2e:storm_test shard 1 of 2" lease=aaaa slot=3 exclusive=false slotted=20µs waited=3.15s boots=1 deploys=1
time=2026-11-30T12:00:14.000Z level=INFO msg="lease is exclusive" environment=//e2e:storm holder="x" lease=aaaa slot=3 cluster=false waited=0.5 redeployed=false
time=2026-11-30T12:00:16.000Z level=INFO msg="lease is shared again" environment=//e2e:storm holder="x" lease=aaaa slot=3 waited=1 redeployed=true
panic: not slog's
time=2026-11-30T12:00:17.300Z level=INFO msg="lease ended" environment=//e2e:storm holder="x" lease=aaaa slot=3 why="the \"client\" left" held=4.09s
time=2026-11-30T12:00:21.000Z level=INFO msg="environment is deployed anew" environment=//e2e:calm why="patch configmaps calm/gateway, by stormgate:admin"
time=2026-11-30T12:00:21.001Z level=INFO msg="environment deployment started" deploy=2 environment=//e2e:calm digest=d9 replaces=""
time=2026-11-30T12:00:22.300Z level=ERROR msg="environment deployment failed" deploy=2 environment=//e2e:calm digest=d9 seconds=1.3 error="no room"
time=2026-11-30T12:00:30.000Z level=ERROR msg="cluster failed" boot=1 lived=20s ready=true error="etcd ended"
`

func at(t *testing.T, clock string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, "2026-11-30T"+clock+"Z")
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

// Promise: boots, deployments and leases have the server's own times.
func TestRead(t *testing.T) {
	log, err := Read(strings.NewReader(sample))
	if err != nil || log.Unread != 1 {
		t.Fatalf("%v, %+v", err, log)
	}
	if len(log.Boots) != 1 || !log.Boots[0].Ready.Equal(at(t, "12:00:11.9")) || !log.Boots[0].End.Equal(at(t, "12:00:30")) || log.Boots[0].Failure != "etcd ended" ||
		len(log.Boots[0].Steps) != 1 || !log.Boots[0].Steps[0].Start.Equal(at(t, "12:00:11.3")) {
		t.Errorf("boots: %+v", log.Boots)
	}
	if len(log.Deploys) != 2 || log.Deploys[0].Replaces != "//e2e:calm, //e2e:old" || !log.Deploys[0].End.Equal(at(t, "12:00:13.2")) || log.Deploys[1].Failure != "no room" {
		t.Errorf("deploys: %+v", log.Deploys)
	}
	if len(log.Redeploys) != 1 || !strings.HasPrefix(log.Redeploys[0].Why, "patch configmaps") {
		t.Errorf("redeploys: %+v", log.Redeploys)
	}
	if len(log.Leases) != 1 {
		t.Fatalf("leases: %+v", log.Leases)
	}
	lease := log.Leases[0]
	if lease.Slot != 3 || lease.Holder != "//e2e:storm_test shard 1 of 2" || !lease.Asked.Equal(at(t, "12:00:10.06")) || !lease.Slotted.Equal(at(t, "12:00:10.06002")) ||
		!lease.Granted.Equal(at(t, "12:00:13.21")) || !lease.Ended.Equal(at(t, "12:00:17.3")) {
		t.Errorf("lease: %+v", lease)
	}
	if len(lease.Alone) != 1 || !lease.Alone[0].Asked.Equal(at(t, "12:00:13.5")) || !lease.Alone[0].Start.Equal(at(t, "12:00:14")) || !lease.Alone[0].End.Equal(at(t, "12:00:15")) {
		t.Errorf("alone: %+v", lease.Alone)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Add("time=2026-11-30T12:00:13.210Z msg=\"lease granted\" lease=\"\\xff\" waited=-1h slotted=9999999h\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Read(strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	})
}
