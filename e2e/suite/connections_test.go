package suite

import (
	"strings"
	"testing"

	"stormgate.internal/gateway/redistest"
)

func TestConnectionsOfOthers(t *testing.T) {
	const list = `id=3 addr=10.0.0.4:5 laddr=10.0.0.5:6379 fd=8 name= age=9 db=0 cmd=evalsha user=default
id=4 addr=10.0.0.4:6 laddr=10.0.0.5:6379 fd=9 name= age=9 db=0 cmd=NULL user=default
id=5 addr=127.0.0.1:7 laddr=127.0.0.1:6379 fd=10 name=stormgate-e2e age=9 db=0 cmd=client|list user=default
id=6 addr=10.0.0.4:8 laddr=10.0.0.5:6379 fd=11 name=x age=9 db=0 cmd=ping user=default
`
	if got, err := parseClients(list); err != nil || got != 2 {
		t.Errorf("%d connections, %v; want those with ids 3 and 6", got, err)
	}
	if _, err := parseClients("nothing like it"); err == nil {
		t.Error("no error for text that lists no clients")
	}
}

// What Redis really answers, with us as its only client.
func TestConnectionsOfRedis(t *testing.T) {
	client := newRedisClient(redistest.Start(t).Addr)
	defer client.Close()
	list, err := client.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseClients(list); err != nil || got != 0 || !strings.Contains(list, "name="+ourName) {
		t.Errorf("%d connections beside ours, %v, of:\n%s", got, err, list)
	}
	info, err := client.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if commands, err := parseInfo(info, "total_commands_processed"); err != nil || commands < 1 {
		t.Errorf("%v commands, %v", commands, err)
	}
	if _, err := parseInfo(info, "nonesuch"); err == nil {
		t.Error("no error for a field that is not there")
	}
}
