package faultproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Control returns a handler that sets the proxy's rules. It asks for no credentials:
// everyone who can reach it can break the clients of the proxy.
//
//	PUT    /rules/{id}  a Rule, JSON; its id may be left out    204, 400
//	GET    /rules/{id}  its State                               200, 404
//	DELETE /rules/{id}  removes it, answers with its last State 200, 404
//	GET    /rules       all States                              200
//	GET    /healthz                                             200
func (p *Proxy) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /rules/{id}", p.putRule)
	mux.HandleFunc("GET /rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		state, ok := p.Get(r.PathValue("id"))
		p.writeState(w, state, ok)
	})
	mux.HandleFunc("DELETE /rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		state, ok := p.Delete(r.PathValue("id"))
		p.writeState(w, state, ok)
	})
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) { p.write(w, p.List()) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

func (p *Proxy) putRule(w http.ResponseWriter, r *http.Request) {
	rule := Rule{ID: r.PathValue("id")}
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	decoder.DisallowUnknownFields() // a misspelt key would widen the rule
	if err := decoder.Decode(&rule); err != nil {
		http.Error(w, "read rule: "+err.Error(), http.StatusBadRequest)
		return
	}
	if id := r.PathValue("id"); rule.ID != id {
		http.Error(w, fmt.Sprintf("rule %q is put as %q", rule.ID, id), http.StatusBadRequest)
		return
	}
	if err := p.Put(rule); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *Proxy) writeState(w http.ResponseWriter, state State, ok bool) {
	if !ok {
		http.Error(w, "no such rule", http.StatusNotFound)
		return
	}
	p.write(w, state)
}

func (p *Proxy) write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		p.logger.Warn("write answer", "error", err)
	}
}
