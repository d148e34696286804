package main

import (
	"net/http"
	"net/http/pprof"
	"os"
	"time"
)

// The benchmark adds this file to the server when it takes a CPU profile.
func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", pprof.Profile)
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PPROF_PORT"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.ListenAndServe() }()
}
