// Package redact takes secrets out of texts that people will read: error details
// and log lines, which quote what senders and other systems wrote.
package redact

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Mark stands where a value was.
const Mark = "[REDACTED]"

const members = "password|token|api_key|annotations|generatorURL"

var (
	secretName      = regexp.MustCompile(`(?i)^(?:` + members + `)$`)
	sensitiveMember = regexp.MustCompile(`(?i)"(?:` + members + `)"\s*:\s*`)
	// escapedMember is the same inside a quoted string. It does not
	// find the end of a value there, and takes all of the string that follows.
	escapedMember = regexp.MustCompile(`(?i)(\\+"(?:` + members + `)\\+"\s*:\s*)(?:\\.|[^"\\])*`)
)

// Text replaces the values of JSON members that may hold secrets: password,
// token, api_key, annotations and generatorURL, in any case,
// wherever in a text they are.
func Text(text string) string {
	if !strings.ContainsRune(text, '"') {
		return text
	}
	text = escapedMember.ReplaceAllString(text, `${1}`+Mark)
	var clean strings.Builder
	for {
		at := sensitiveMember.FindStringIndex(text)
		if at == nil {
			clean.WriteString(text)
			return clean.String()
		}
		clean.WriteString(text[:at[1]])
		clean.WriteString(`"` + Mark + `"`)
		text = text[at[1]:]
		decoder := json.NewDecoder(strings.NewReader(text))
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return clean.String() // cut short: nothing after it is known to be harmless
		}
		text = text[decoder.InputOffset():]
	}
}

// IsSecret reports whether a value of that name is to be replaced as a whole.
func IsSecret(name string) bool { return secretName.MatchString(name) }
