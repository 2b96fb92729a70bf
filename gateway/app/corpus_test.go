package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// malformed is a request that must be refused, or, where code is 2xx, one that is
// odd and must be accepted.
type malformed struct {
	name         string
	method, path string // POST and the webhook's route if empty
	headers      map[string]string
	body         string
	// wire replaces everything: it is sent as it is, and then no more.
	wire string
	code int
}

// accepted is the code of a request that is stored, whether it is the first of its
// incident or not.
const accepted = 2

// unused are the members that nothing depends on, or that are taken as far as they go.
var unused = regexp.MustCompile(`^body\.(version|groupKey|truncatedAlerts|status|receiver|groupLabels|commonLabels|commonAnnotations|externalURL|message|count|source)\b` +
	`|^body\.alerts\[0\]\.(status|annotations|endsAt|generatorURL|fingerprint)\b|^body\.involvedObject\.(uid|apiVersion|resourceVersion)\b`)

// corpus returns requests that nobody should send.
func corpus(t *testing.T) []malformed {
	t.Helper()
	var all []malformed
	for _, source := range []struct{ path, body string }{{prometheusRoute, fullWebhook}, {eventRoute, fullEvent}} {
		all = append(all, wrongTypes(t, source.path, source.body)...)
		all = append(all, truncations(source.path, source.body)...)
		all = append(all, encodings(t, source.path, source.body)...)
		all = append(all, envelopes(source.path, source.body)...)
	}
	return append(all, handWritten()...)
}

const (
	fullWebhook = `{"version":"4","groupKey":"{}","truncatedAlerts":0,"status":"firing","receiver":"r","groupLabels":{"g":"l"},"commonLabels":{"c":"l"},` +
		`"commonAnnotations":{"c":"a"},"externalURL":"http://a","alerts":[{"status":"firing","labels":{"alertname":"A","namespace":"shop","pod":"web"},` +
		`"annotations":{"a":"b"},"startsAt":"2025-11-24T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"f"}]}`
	fullEvent = `{"type":"Warning","reason":"BackOff","message":"m","involvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"u","apiVersion":"v1",` +
		`"resourceVersion":"1"},"firstTimestamp":"2025-11-24T10:00:00Z","lastTimestamp":"2025-11-24T10:00:00Z","count":3,"source":{"component":"kubelet","host":"one"}}`
)

// wrongTypes puts values of every other type in the place of each value.
func wrongTypes(t *testing.T, path, body string) []malformed {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	var all []malformed
	kind := func(value any) string {
		switch value.(type) {
		case string:
			return "a string"
		case float64:
			return "a number"
		case []any:
			return "a list"
		}
		return "an object"
	}
	wrong := map[string]any{"a string": "text", "a number": 7, "a list": []any{}, "an object": map[string]any{}, "a truth": true, "a fraction": 1.5, "a huge number": json.Number("1e999")}
	var visit func(at string, value any, put func(any))
	visit = func(at string, value any, put func(any)) {
		for name, replacement := range wrong {
			if name == kind(value) || at == "body" && name == "a huge number" {
				continue
			}
			put(replacement)
			content, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			put(value)
			code := 400
			if unused.MatchString(at) {
				code = accepted
			}
			all = append(all, malformed{name: fmt.Sprintf("%s is %s", at, name), path: path, body: string(content), code: code})
		}
		switch value := value.(type) {
		case map[string]any:
			for key, member := range value {
				visit(at+"."+key, member, func(replacement any) { value[key] = replacement })
			}
		case []any:
			for i, item := range value {
				visit(fmt.Sprintf("%s[%d]", at, i), item, func(replacement any) { value[i] = replacement })
			}
		}
	}
	visit("body", document, func(replacement any) { document = replacement })
	return all
}

// truncations cut the body short, by itself and by the end of the connection.
func truncations(path, body string) []malformed {
	var all []malformed
	for length := 0; length < len(body); length += len(body)/25 + 1 {
		all = append(all, malformed{name: fmt.Sprintf("first %d bytes", length), path: path, body: body[:length], code: 400})
	}
	head := "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
	for name, wire := range map[string]string{
		"connection ends in the body":       head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body[:len(body)/2],
		"connection ends before the body":   head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n",
		"connection ends in a chunk":        head + "Transfer-Encoding: chunked\r\n\r\n40\r\n" + body[:16],
		"connection ends after a chunk":     head + "Transfer-Encoding: chunked\r\n\r\n10\r\n" + body[:16] + "\r\n",
		"chunk size is no number":           head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
		"chunk is longer than it says":      head + "Transfer-Encoding: chunked\r\n\r\n1\r\n" + body + "\r\n0\r\n\r\n",
		"body is longer than it says":       head + "Connection: close\r\nContent-Length: 5\r\n\r\n" + body,
		"no body":                           head + "Content-Length: 0\r\n\r\n",
		"neither body nor length nor chunk": head + "Connection: close\r\n\r\n",
	} {
		all = append(all, malformed{name: name, path: path, wire: wire, code: 400})
	}
	return all
}

// encodings write the body in other ways than as plain JSON.
func encodings(t *testing.T, path, body string) []malformed {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var wide bytes.Buffer
	for _, unit := range utf16.Encode([]rune(body)) {
		wide.Write([]byte{byte(unit), byte(unit >> 8)})
	}
	nested := func(open, end string, depth int) string {
		return strings.Repeat(open, depth) + strings.Repeat(end, depth)
	}
	with := func(member string) string { return `{` + member + `,` + body[1:] }
	all := []malformed{
		{name: "half of a gzip", headers: map[string]string{"Content-Encoding": "gzip"}, body: packed.String()[:packed.Len()/2]},
		{name: "gzip that does not say so", body: packed.String()},
		{name: "not gzip though it says so", headers: map[string]string{"Content-Encoding": "gzip"}, body: "{" + body},
		{name: "UTF-16", body: wide.String()},
		{name: "UTF-16 with a mark", body: "\xff\xfe" + wide.String()},
		{name: "byte order mark", body: "\xef\xbb\xbf" + body},
		{name: "NUL first", body: "\x00" + body},
		{name: "NUL last", body: body + "\x00"},
		{name: "two bodies", body: body + body},
		{name: "list of it", body: "[" + body + "]"},
		{name: "text of it", body: strconv.Quote(body)},
		{name: "form", body: "payload=" + body},
		{name: "single quotes", body: strings.ReplaceAll(body, `"`, `'`)},
		{name: "no quotes", body: strings.ReplaceAll(body, `"`, ``)},
		{name: "comment", body: "/* alert */" + body},
		{name: "trailing comma", body: strings.TrimSuffix(body, "}") + ",}"},
		{name: "no colon", body: strings.Replace(body, ":", " ", 1)},
		{name: "unended string", body: strings.Replace(body, `",`, `,`, 1)},
		{name: "line break in a string", body: strings.Replace(body, "shop", "sh\nop", 1)},
		{name: "bad escape", body: strings.Replace(body, "shop", `sh\xop`, 1)},
		{name: "bad unicode escape", body: strings.Replace(body, "shop", `sh\u12op`, 1)},
		{name: "NaN", body: with(`"x":NaN`)},
		{name: "infinity", body: with(`"x":Infinity`)},
		{name: "hexadecimal number", body: with(`"x":0x10`)},
		{name: "leading zero", body: with(`"x":007`)},
		{name: "plus sign", body: with(`"x":+1`)},
		{name: "bare word", body: with(`"x":undefined`)},
		{name: "too deep lists", body: with(`"x":` + nested("[", "]", 20_000))},
		{name: "too deep objects", body: with(`"x":` + nested(`{"a":`, "}", 15_000))},
		{name: "deep and unended", body: strings.Repeat("[", 100_000)},
		{name: "XML", body: "<alert><name>A</name></alert>"},
		{name: "YAML", body: "alerts:\n- labels:\n    alertname: A\n"},
		{name: "null", body: "null"}, {name: "empty object", body: "{}"}, {name: "empty list", body: "[]"}, {name: "true", body: "true"}, {name: "spaces", body: "  \n\t"},
		{name: "random bytes", body: "\x8f\x01\xfe\x10\x00\xff\xff\x7f"},
	}
	for i := range all {
		all[i].path, all[i].code = path, 400
	}
	// Odd, yet JSON that says what it must.
	for _, c := range []malformed{
		{name: "deep list", body: with(`"x":` + nested("[", "]", 5_000))},
		{name: "huge number where none is read", body: with(`"x":1e999999`)},
		{name: "lone surrogate", body: strings.Replace(body, "web", `we\ud800b`, 1)},
		{name: "invalid UTF-8", body: strings.Replace(body, "web", "w\xffeb", 1)},
		{name: "control characters, escaped", body: strings.Replace(body, "web", `we\u0000\u001b[31mb`, 1)},
		{name: "gzip", headers: map[string]string{"Content-Encoding": "gzip"}, body: packed.String()},
		{name: "gzip in chunks", headers: map[string]string{"Content-Encoding": "x-gzip", "Transfer-Encoding": "chunked"}, body: packed.String()},
		{name: "identity", headers: map[string]string{"Content-Encoding": "identity"}, body: body},
		{name: "keys in capitals", body: strings.NewReplacer(`"alerts"`, `"ALERTS"`, `"reason"`, `"REASON"`, "web", "caps").Replace(body)},
		{name: "member twice", body: with(`"status":"firing","type":"Normal"`)},
		{name: "in chunks", headers: map[string]string{"Transfer-Encoding": "chunked"}, body: body},
		{name: "spaces around it", body: " \r\n" + strings.Replace(body, "web", "spaced", 1) + "\t\n"},
	} {
		c.path, c.code = path, accepted
		all = append(all, c)
	}
	return all
}

// envelopes are right bodies in wrong requests.
func envelopes(path, body string) []malformed {
	var all []malformed
	add := func(code int, name string, headers map[string]string) {
		all = append(all, malformed{name: name, path: path, headers: headers, body: body, code: code})
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW", "post", "PROPFIND"} {
		all = append(all, malformed{name: "method " + method, method: method, path: path, body: body, code: 405})
	}
	for _, contentType := range []string{
		"text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "application/json5",
		"application/problem+json", "application/cloudevents+json", "application/x-ndjson", "application/*", "*/*", "json", "application",
	} {
		add(415, "content type "+contentType, map[string]string{"Content-Type": contentType})
	}
	for _, contentType := range []string{";", "/", "application/", "application/json;=", "application/json; charset", "application/json, text/plain", "application/json/x", "application /json", "ä", `application/json; a="`} {
		add(400, "content type "+contentType, map[string]string{"Content-Type": contentType})
	}
	at := func(offset time.Duration) string { return strconv.FormatInt(time.Now().Add(offset).Unix(), 10) }
	for _, timestamp := range []string{"now", "-1", "1.5", "1e9", "0x5f000000", "0", "1", "99999999999999999999999", "9223372036854775807", "1 2", at(-6 * time.Minute), at(3 * time.Minute), "2025-11-24T10:00:00Z", "NaN"} {
		add(400, "timestamp "+timestamp, map[string]string{"X-Timestamp": timestamp})
	}
	for _, encoding := range []string{"br", "zstd", "deflate", "gzip, gzip", "br, gzip", "ä"} {
		add(415, "content encoding "+encoding, map[string]string{"Content-Encoding": encoding})
	}
	const limit = 4 << 20
	big := body + strings.Repeat(" ", limit+1-len(body))
	return append(all,
		malformed{name: "gzip of a byte too many", path: path, headers: map[string]string{"Content-Encoding": "gzip"}, body: gzipped(big), code: 413},
		malformed{name: "gzip of much more", path: path, headers: map[string]string{"Content-Encoding": "gzip"}, body: gzipped(strings.Repeat(" ", 64<<20)), code: 413},
		malformed{name: "a byte too many", path: path, body: big, code: 413},
		malformed{name: "a byte too many in chunks", path: path, headers: map[string]string{"Transfer-Encoding": "chunked"}, body: big, code: 413},
		malformed{name: "ten megabytes", path: path, body: strings.Repeat(body, 10<<20/len(body)), code: 413},
		malformed{name: "says that it is huge", path: path, wire: "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9223372036854775807\r\n\r\n{", code: 413},
		malformed{name: "asks before it sends too much", path: path, wire: "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n", code: 413},
	)
}

func gzipped(body string) string {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write([]byte(body)) // to memory
	_ = w.Close()
	return packed.String()
}

func handWritten() []malformed {
	long := strings.Repeat("n", 254)
	var all []malformed
	for name, body := range map[string]string{
		"no alerts":                    `{"status":"firing"}`,
		"alerts null":                  `{"alerts":null}`,
		"alerts empty":                 `{"alerts":[]}`,
		"alert null":                   `{"alerts":[null]}`,
		"no labels":                    `{"alerts":[{}]}`,
		"labels null":                  `{"alerts":[{"labels":null}]}`,
		"labels empty":                 `{"alerts":[{"labels":{}}]}`,
		"no name":                      `{"alerts":[{"labels":{"severity":"critical"}}]}`,
		"name empty":                   `{"alerts":[{"labels":{"alertname":""}}]}`,
		"name null":                    `{"alerts":[{"labels":{"alertname":null}}]}`,
		"name only common":             `{"commonLabels":{"alertname":"A"},"alerts":[{"labels":{}}]}`,
		"name too long":                `{"alerts":[{"labels":{"alertname":"` + long + `"}}]}`,
		"label of a label":             `{"alerts":[{"labels":{"alertname":"A","pod":{"name":"web"}}}]}`,
		"no good alert of two":         `{"alerts":[{"labels":{"severity":"info"}},7]}`,
		"day that does not exist":      `{"alerts":[{"labels":{"alertname":"A"},"startsAt":"2025-02-30T00:00:00Z"}]}`,
		"time without a zone":          `{"alerts":[{"labels":{"alertname":"A"},"startsAt":"2025-02-03T00:00:00"}]}`,
		"time empty":                   `{"alerts":[{"labels":{"alertname":"A"},"startsAt":""}]}`,
		"year 10000 in UTC":            `{"alerts":[{"labels":{"alertname":"A"},"startsAt":"9999-12-31T23:59:59-01:00"}]}`,
		"year before the first in UTC": `{"alerts":[{"labels":{"alertname":"A"},"startsAt":"0001-01-01T00:00:00+01:00"}]}`,
		"event on the webhook's route": fullEvent,
	} {
		all = append(all, malformed{name: name, body: body, code: 400})
	}
	with := func(old, replacement string) string { return strings.Replace(fullEvent, old, replacement, 1) }
	for name, body := range map[string]string{
		"event: type Normal":             with("Warning", "Normal"),
		"event: type in small letters":   with("Warning", "warning"),
		"event: type unknown":            with("Warning", "Fatal"),
		"event: type empty":              with("Warning", ""),
		"event: no type":                 with(`"type":"Warning",`, ""),
		"event: reason empty":            with("BackOff", ""),
		"event: no reason":               with(`"reason":"BackOff",`, ""),
		"event: reason too long":         with("BackOff", long),
		"event: kind empty":              with(`"kind":"Pod"`, `"kind":""`),
		"event: no kind":                 with(`"kind":"Pod",`, ""),
		"event: no object's name":        with(`"name":"web",`, ""),
		"event: object's name null":      with(`"name":"web"`, `"name":null`),
		"event: object null":             `{"type":"Warning","reason":"R","involvedObject":null}`,
		"event: year 10000 in UTC":       with(`"firstTimestamp":"2025-11-24T10:00:00Z"`, `"firstTimestamp":"9999-12-31T23:59:59-01:00"`),
		"event: last day does not exist": with(`"lastTimestamp":"2025-11-24T10:00:00Z"`, `"lastTimestamp":"2025-13-01T00:00:00Z"`),
		"webhook on the event's route":   fullWebhook,
	} {
		all = append(all, malformed{name: name, path: eventRoute, body: body, code: 400})
	}
	for _, path := range []string{"/api/v1/signals", "/api/v1/signals/", "/api/v1/signals/nagios", prometheusRoute + "/", eventRoute + "/1", "/api/v2/signals/prometheus", "/", "/API/V1/SIGNALS/PROMETHEUS", "/readyz"} {
		all = append(all, malformed{name: "path " + path, path: path, body: fullWebhook, code: 404})
	}
	for _, path := range []string{"/health", "/healthz", "/ready"} {
		all = append(all, malformed{name: "POST " + path, path: path, body: fullWebhook, code: 405})
	}
	return all
}
