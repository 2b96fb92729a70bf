package boottest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/internal/child"
)

// secret is what credentials look like: a private key, as it is or in base 64, or a
// token of a service account.
var secret = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|LS0tLS1CRUdJTi(BQUklWQVRF|BFQyBQUklWQVRF|BSU0EgUFJJVkFURS)|eyJhbGciOi[A-Za-z0-9_-]{10,}\.eyJ`)

// credentialsIn lists the files below dir that hold credentials, by their names within it.
func credentialsIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if secret.Match(content) {
			name, err := filepath.Rel(dir, path)
			found = append(found, name)
			return err
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("read all of %s: %d files, %v", dir, files, err)
	}
	return found
}

// What any process of the user can open changes nothing and gives nothing: it is refused, with the way
// out, and answers questions. Whoever started the cluster is given what it alone may have.
func (c *controlled) refusals() {
	c.namespaces("refusals")
	c.must(http.MethodPut, api.ScopesPath+"refusals", api.Scope{Namespaces: []string{"refusals"}, Images: []api.Image{shell("R")}})
	pod := c.pod("refusals", "web", "R")
	lives := get[api.Lives](c, api.LivesPath).Last
	for _, test := range []struct{ method, path, body string }{
		{http.MethodPut, api.ScopesPath + "refusals", `{"namespaces": ["refusals"], "images": []}`},
		{http.MethodDelete, api.ScopesPath + "refusals", ""},
		{http.MethodPut, api.ImagesPath, `[]`},
		{http.MethodPost, api.EndPath, `{"namespaces": ["refusals"]}`},
		{http.MethodGet, api.CredentialsPath + api.IdentityFixture, ""},
		{http.MethodGet, api.CredentialsPath + api.IdentityAdmin, ""},
	} {
		code, answer := c.ask(test.method, test.path, test.body)
		if code != http.StatusForbidden || !strings.Contains(answer, "api.Process.Control") || secret.MatchString(answer) {
			c.Errorf("%s %s on control.sock = %d %s, want 403 with the way out", test.method, test.path, code, answer)
		}
	}
	for _, path := range []string{api.BootPath, api.ImagesPath, api.LivesPath, api.WritesPath} {
		if code, answer := c.ask(http.MethodGet, path, ""); code != http.StatusOK || secret.MatchString(answer) {
			c.Errorf("GET %s on control.sock = %d %s", path, code, answer)
		}
	}
	if got := get[api.Lives](c, fmt.Sprintf("%s?after=%d", api.LivesPath, lives)).Lives; len(got) != 0 {
		c.Errorf("after the refusals: %+v, want no end of a container", got)
	}
	// The scope is still there: a restart finds the image.
	c.crash(pod)
	c.says("refusals", "web", "R")

	if code, answer := c.call(http.MethodGet, api.CredentialsPath+"suite", nil); code != http.StatusNotFound || !strings.Contains(answer, `"fixture"`) {
		c.Errorf("credentials of nobody: %d %s", code, answer)
	}
	one, err := c.cluster.Kubeconfig(c.Context(), api.IdentityFixture)
	if err != nil {
		c.Fatal(err)
	}
	other, err := c.cluster.Kubeconfig(c.Context(), api.IdentityFixture)
	if err != nil {
		c.Fatal(err)
	}
	if string(one) == string(other) || !secret.Match(one) {
		c.Error("two answers have one key, or none")
	}
	// --expose makes the one file with a key, and that is a person's.
	if found := credentialsIn(c.T, c.cluster.Dir); !slices.Equal(found, []string{"kubeconfig"}) {
		c.Errorf("files with credentials: %q, want the exposed kubeconfig alone", found)
	}
}

// ask is call on control.sock, as any process of the user may.
func (c *controlled) ask(method, path, body string) (int, string) {
	c.Helper()
	return c.send(api.Dir(c.cluster.Dir).Ask(), method, path, strings.NewReader(body))
}

// Promise: a person's cluster has a kubeconfig that works, which is the administrator's: what they do with it
// is told under that name, also where they call themselves the fixture. Nothing else there has a key.
func TestUp(t *testing.T) {
	dir := newDir(t)
	exported := make(chan string, 1)
	cmd := exec.Command(clusterBinary(t), "up", "--dir="+dir)
	var log child.Tail
	cmd.Stderr = &log
	cmd.Stdout = child.EachLine(func(line []byte) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "export KUBECONFIG="); ok {
			exported <- path
		}
	})
	up, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		up.Kill()
		if t.Failed() {
			t.Logf("log:\n%s", strings.Join(log.Lines(), "\n"))
		}
	})
	var kubeconfig string
	ctx := deadline(t, bootTimeout)
	select {
	case kubeconfig = <-exported:
	case <-up.Done():
		t.Fatalf("it ended: %s", up.How())
	case <-ctx.Done():
		t.Fatal(context.Cause(ctx))
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, mask := range []string{"", "stormgate:fixture"} {
		config.Impersonate.UserName, config.Impersonate.Groups = mask, nil
		if mask != "" {
			config.Impersonate.Groups = []string{"system:masters"}
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "by-a-person" + strings.ReplaceAll(mask, ":", "-")}}
		if _, err := client.CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Errorf("as %q: %v", mask, err)
		}
	}
	response, err := api.Dir(dir).Ask().Get("http://cluster" + api.WritesPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var writes api.Writes
	if err := json.NewDecoder(bufio.NewReader(response.Body)).Decode(&writes); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, w := range writes.Writes {
		told = append(told, w.User+" "+w.Verb+" "+w.Name)
	}
	if want := []string{"stormgate:admin create by-a-person", "stormgate:admin create by-a-personstormgate-fixture"}; !slices.Equal(told, want) {
		t.Errorf("writes %q, want %q", told, want)
	}
	if found := credentialsIn(t, dir); !slices.Equal(found, []string{"kubeconfig"}) {
		t.Errorf("files with credentials: %q, want the kubeconfig alone", found)
	}
	if err := up.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ending, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := up.Wait(ending); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}
