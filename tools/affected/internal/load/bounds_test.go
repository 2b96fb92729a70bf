package load

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"stormgate.internal/tools/affected/internal/snapshot"
)

// TestBounds: a file that would take gigabytes, or minutes, is not evaluated, whichever way
// it gets there. Its package has failed then, and what its syntax shows is taken.
func TestBounds(t *testing.T) {
	doubled := "def f():\n    x = %s\n    for _ in range(60):\n        %s\n    return x\nX = f()\n"
	in := func(start, grow string) string {
		return strings.Replace(strings.Replace(doubled, "%s", start, 1), "%s", grow, 1)
	}
	for name, code := range map[string]string{
		"text":                  `X = "a" * 1000000000`,
		"number first":          `X = 1000000000 * "a"`,
		"list":                  `X = [0] * 100000000`,
		"tuple":                 `X = (0,) * 100000000`,
		"number":                in("7", "x = x * x"),
		"shifted":               in("7", "x = x << 500; x = x * x"),
		"doubled text":          in(`"a"`, "x = x + x"),
		"doubled text in place": in(`"a"`, "x += x"),
		"doubled list":          in("[1]", "x += x"),
		"extended list":         in("[1]", "x.extend(x)"),
		"times in place":        in("[1]", "x *= 2"),
		"times in a dictionary": in(`{"a": [1]}`, `x["a"] *= 2`),
		"plus in a dictionary":  in(`{"a": [1]}`, `x["a"] += x["a"]`),
		"formatted":             in(`"a"`, `x = "%s%s" % (x, x)`),
		"format":                in(`"a"`, `x = "{0}{0}".format(x)`),
		"joined":                in(`"a"`, `x = x.join([x, x, x])`),
		"replaced":              in(`"a"`, `x = x.replace("a", "aa")`),
		"range as a list":       `X = list(range(100000000))`,
		"range sorted":          `X = sorted(range(100000000))`,
		"range, the largest":    `X = max(range(1000000000))`,
		"range, all of it":      `X = all(range(1, 1000000000))`,
		"comprehension":         `X = [x for x in range(100000000)]`,
		"lists in lists":        in("[1]", "x = [x, x]") + "Y = str(X)\n",
		"lists in lists, JSON":  in("[1]", "x = [x, x]") + "Y = json.encode(X)\n",
		"looked through":        "L = [0] * 1000000\nX = [y in L for y in range(1, 1000)]\n",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := NewWorkspace(context.Background(), snapshot.Of(map[string]string{
				"d.bzl": code + "\n", "BUILD": "load(\":d.bzl\", \"X\")\nsh_test(name = \"x_test\", srcs = [\"x.sh\"])\n", "x.sh": "",
			}), map[string]*Repo{"": {}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, err := NewLoader(context.Background(), w).Package("", "")
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if p.Failed == "" {
				t.Error("it was evaluated")
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 6*maxMade {
				t.Errorf("to refuse it took %d MB: %s", made>>20, p.Failed)
			}
			if len(p.Targets) != 1 || p.Targets[0].Name != "x_test" {
				t.Errorf("targets %+v, want x_test as its syntax shows it", p.Targets)
			}
		})
	}
}

// TestBoundsOfValues: values that are large only if each use of a part counts are in doubt.
func TestBoundsOfValues(t *testing.T) {
	build := "load(\":d.bzl\", \"X\")\nsh_test(name = \"x_test\", srcs = [\"x.sh\"], env = {\"A\": X})\n"
	code := "def f():\n    x = [\"a\"]\n    for _ in range(45):\n        x = [x, x]\n    return x\nX = f()\n"
	w := NewWorkspace(context.Background(), snapshot.Of(map[string]string{"d.bzl": code, "BUILD": build}), map[string]*Repo{"": {}})
	p, err := NewLoader(context.Background(), w).Package("", "")
	if err != nil {
		t.Fatal(err)
	}
	if p.Failed == "" && p.Doubt == "" {
		t.Error("it is in no doubt")
	}
}

// TestOperators: operators mean what they mean in the language, also those that go through
// functions which count.
func TestOperators(t *testing.T) {
	w := NewWorkspace(context.Background(), snapshot.Of(map[string]string{
		"d.bzl": `
def f():
    a = [1]
    b = a
    a += [2]
    a *= 2
    d = {"k": [1], "n": 2}
    e = d
    d["k"] += [3]
    d["n"] *= 1
    d |= {"m": "x" * 3}
    s = "a"
    s += "b%s" % ("c" + "d")
    (n) = 3
    n += 4
    n <<= 2
    t = (1,) + (2,)
    t += (3,)
    return [a, b, d, e, s, n, t, -2 * "a", "a" * 0, {"x": 1} | {"y": 2}, 7 % 4, 3 | 4, list((1, 2)), ",".join(["a", "b"]), "aXb".replace("X", "--")]
X = str(f())
`, "BUILD": "load(\":d.bzl\", \"X\")\nsh_test(name = \"x_test\", env = {\"A\": X})\n",
	}), map[string]*Repo{"": {}})
	l := NewLoader(context.Background(), w)
	globals, err := l.Module(Label{Name: "d.bzl"})
	if err != nil {
		t.Fatal(err)
	}
	want := `"[[1, 2, 1, 2], [1, 2], {\"k\": [1, 3], \"n\": 2, \"m\": \"xxx\"}, {\"k\": [1, 3], \"n\": 2, \"m\": \"xxx\"}, \"abcd\", 28, (1, 2, 3), \"\", \"\", ` +
		`{\"x\": 1, \"y\": 2}, 3, 7, [1, 2], \"a,b\", \"a--b\"]"`
	if got := globals["X"].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
