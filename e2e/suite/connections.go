package suite

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
)

// GatewayConnections returns how many connections Redis has, without those of suites
// and of probes. If only one gateway uses the Redis, they are that gateway's.
func GatewayConnections(ctx context.Context) int {
	ginkgo.GinkgoHelper()
	list, err := redisClient().ClientList(ctx).Result()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	connections, err := parseClients(list)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return connections
}

// parseClients counts the clients in the answer to CLIENT LIST. A probe has
// connected and sent nothing.
func parseClients(list string) (int, error) {
	count := 0
	lines := bufio.NewScanner(strings.NewReader(list))
	for lines.Scan() {
		fields := map[string]string{}
		for _, field := range strings.Fields(lines.Text()) {
			name, value, _ := strings.Cut(field, "=")
			fields[name] = value
		}
		if fields["cmd"] == "" {
			return 0, fmt.Errorf("read the list of Redis' clients: no cmd in %q", lines.Text())
		}
		if fields["name"] != ourName && fields["cmd"] != "NULL" {
			count++
		}
	}
	return count, lines.Err()
}

// RedisCommands returns how many commands Redis has processed, from all of its clients.
func RedisCommands(ctx context.Context) float64 {
	ginkgo.GinkgoHelper()
	info, err := redisClient().Info(ctx, "stats").Result()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	commands, err := parseInfo(info, "total_commands_processed")
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return commands
}

func parseInfo(info, field string) (float64, error) {
	for line := range strings.Lines(info) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found && name == field {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("read %s: Redis does not report it", field)
}

func redisClient() *redis.Client {
	ginkgo.GinkgoHelper()
	gomega.Expect(here.redis).NotTo(gomega.BeNil(), "the environment forwards nothing named %q", redisForward)
	return here.redis
}
