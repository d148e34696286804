package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/orga-session/orga-session/tools/bench/standin"
)

// measureServers compares the peers in each mode.
func (l *lab) measureServers(r *results) error {
	r.Servers, r.Ends, r.Zip = make(map[key][]slot), make(map[key]end), l.zipped
	for _, m := range []mode{plain, secure, plainSlow, slow} {
		l.say("  %s", m.name)
		clients, measured := []int{1, 16, 64}, l.slot
		if m.delay > 0 {
			clients, measured = []int{1, 16}, l.slow
		}
		if err := l.compare(r, m, clients, measured); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) compare(r *results, m mode, clients []int, measured time.Duration) error {
	orga, err := l.startOrga(m, usual)
	if err != nil {
		return err
	}
	defer orga.Stop()
	express, err := l.startExpress(m)
	if err != nil {
		return err
	}
	defer express.Stop()
	direct, err := l.startStandin(m)
	if err != nil {
		return err
	}
	defer direct.Close()

	subjects := []subject{
		orga.subject(peerOrga, defaultPath, originHeader),
		express.subject(peerExpress, defaultPath, originHeader),
		l.floor(direct),
	}
	if err := l.firstTurns(subjects, clients[len(clients)-1]); err != nil {
		return err
	}
	begun := make(map[string]int)
	for _, s := range subjects {
		begun[s.name] = s.orga.Opened()
	}
	err = l.rounds(subjects, clients, measured, func(s subject, n int, did slot) {
		k := key{m.name, s.name, n}
		r.Servers[k] = append(r.Servers[k], did)
	})
	for _, s := range subjects[:2] {
		memory, merr := s.process.Memory()
		err = firstError(err, merr)
		r.Ends[key{mode: m.name, peer: s.name}] = end{memory, s.orga.Opened(), s.orga.Opened() - begun[s.name]}
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// measureClients has the curve from one client to 256.
func (l *lab) measureClients(r *results) error {
	r.Clients = make(map[key][]slot)
	orga, err := l.startOrga(plain, usual)
	if err != nil {
		return err
	}
	defer orga.Stop()
	express, err := l.startExpress(plain)
	if err != nil {
		return err
	}
	defer express.Stop()
	subjects := []subject{
		orga.subject(peerOrga, defaultPath, originHeader),
		express.subject(peerExpress, defaultPath, originHeader),
	}
	if err := l.firstTurns(subjects, 256); err != nil {
		return err
	}
	return l.fewRounds().rounds(subjects, clientCurve, l.slot, func(s subject, n int, did slot) {
		k := key{plain.name, s.name, n}
		r.Clients[k] = append(r.Clients[k], did)
	})
}

var (
	clientCurve = []int{1, 4, 16, 64, 256}
	tenantCurve = []int{1, 10, 100, 1000}
)

// fewRounds is for the curves, whose points confirm each other.
func (l *lab) fewRounds() *lab {
	few := *l
	few.plan.rounds = max(2, l.plan.rounds/2)
	return &few
}

// measureTenants has the curve from one tenant to a thousand, each asked in turn.
func (l *lab) measureTenants(r *results) error {
	var setups []setup
	for _, n := range tenantCurve {
		tenants, paths := make(map[string]any, n), make([]string, n)
		for i := range n {
			name := fmt.Sprintf("tenant-%d", i)
			paths[i] = "/api/orga-session/" + name
			tenants[name] = map[string]any{"apiKeySource": "env:ORGA_API_KEY", "corsOrigins": []string{origin}}
		}
		text, err := json.Marshal(map[string]any{"tenants": tenants})
		if err != nil {
			return err
		}
		file := filepath.Join(l.scratch, fmt.Sprintf("tenants-%d.json", n))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		setups = append(setups, setup{fmt.Sprint(n), append([]string{"ORGA_TENANTS_SOURCE=file:" + file}, usual...), paths, originHeader})
	}
	variants, err := l.variants(setups)
	r.Tenants = variants
	return err
}

// measurePolicies has the price of each policy: a setting, and what a caller sends for it.
func (l *lab) measurePolicies(r *results) error {
	issuer, err := standin.StartIssuer()
	if err != nil {
		return err
	}
	defer issuer.Stop()
	token, err := issuer.Token("bench", "caller")
	if err != nil {
		return err
	}
	bearer := "Authorization: Bearer " + token + "\r\n"
	hmacKey := rand.Text()
	noLimit, limit, cors := "ORGA_RATE_LIMIT=off", usual[2], usual[1]
	oidc := []string{"ORGA_AUTH=oidc", "ORGA_AUTH_ISSUER=" + issuer.URL, "ORGA_AUTH_AUDIENCE=bench"}
	r.Policies, err = l.variants([]setup{
		{"none, and no log line", []string{"ORGA_AUTH=anonymous", noLimit, "ORGA_LOG_LEVEL=error"}, defaultPath, ""},
		{"none", []string{"ORGA_AUTH=anonymous", noLimit}, defaultPath, ""},
		{"limit, in memory", []string{"ORGA_AUTH=anonymous", limit}, defaultPath, ""},
		{"CORS", []string{"ORGA_AUTH=anonymous", noLimit, cors}, defaultPath, originHeader},
		{"HMAC", []string{"ORGA_AUTH=hmac", noLimit, "ORGA_AUTH_HMAC_KEY_SOURCE=env:HMAC_KEY", "HMAC_KEY=" + hmacKey}, defaultPath,
			"Authorization: " + signHMAC(hmacKey, defaultPath[0], time.Now()) + "\r\n"},
		{"OIDC, RS256", append([]string{noLimit}, oidc...), defaultPath, bearer},
		{"OIDC, CORS and limit", append([]string{limit, cors}, oidc...), defaultPath, bearer + originHeader},
	})
	return err
}
