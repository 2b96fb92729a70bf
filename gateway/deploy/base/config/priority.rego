# Priority of a signal, P0 (most urgent) to P3. The gateway asks for
# data.kubernaut.gateway.priority.priority with the input
#   {"severity": "critical", "environment": "production", "labels": {"team": "payments"}}
# and takes P2 for whatever is not P0 to P3.
package kubernaut.gateway.priority

default priority := "P2"

priority := "P0" if {
  input.severity == "critical"
  most_urgent
} else := "P1" if {
  input.severity == "critical"
  input.environment == "staging"
} else := "P1" if {
  input.severity == "warning"
  input.environment == "production"
} else := "P3" if {
  input.severity == "info"
} else := "P3" if {
  no_severity
}

most_urgent if input.environment == "production"

most_urgent if input.labels.team == "platform-engineering"

no_severity if not input.severity

no_severity if input.severity == ""
