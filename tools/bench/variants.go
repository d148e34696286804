package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"
)

// setup is the endpoint with settings of its own, and what it is asked.
type setup struct {
	name     string
	settings []string
	paths    []string
	header   string
}

// variants measures setups of the endpoint against each other, with 16 clients and no delay.
func (l *lab) variants(setups []setup) ([]variant, error) {
	const clients = 16
	subjects := make([]subject, len(setups))
	done := make([]variant, len(setups))
	index := make(map[string]int, len(setups))
	for i, s := range setups {
		began := time.Now()
		started, err := l.startOrga(plain, s.settings)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		defer started.Stop()
		subjects[i] = started.subject(s.name, s.paths, s.header)
		done[i] = variant{Name: s.name, Start: time.Since(began)}
		index[s.name] = i
	}
	if err := l.firstTurns(subjects, clients); err != nil {
		return nil, err
	}
	err := l.fewRounds().rounds(subjects, []int{clients}, l.slot, func(s subject, _ int, did slot) {
		v := &done[index[s.name]]
		v.Did = append(v.Did, did)
	})
	for i, s := range subjects {
		memory, merr := s.process.Memory()
		err = firstError(err, merr)
		done[i].Memory = memory
	}
	return done, err
}

// signHMAC is what a caller with an HMAC key sends: good for five minutes, which a comparison fits in.
func signHMAC(key, path string, now time.Time) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "GET\n%s\n%d", path, now.Unix())
	return fmt.Sprintf("Orga-HMAC ts=%d,sig=%x", now.Unix(), mac.Sum(nil))
}
