package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/orga-session/orga-session/tools/bench/proc"
	"github.com/orga-session/orga-session/tools/bench/standin"
	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// start is what one instance of a Lambda function did, from its spawn to its end.
type start struct {
	Init   float64 // until it asked for an event, milliseconds
	First  float64 // until its first answer, the key fetched, milliseconds
	Used   float64 // CPU until then, milliseconds
	Warm50 float64 // of the invocations after that, milliseconds
	Warm99 float64
	CPU    float64 // of each of those, microseconds
	Peak   float64 // resident memory, MB
	Files  float64 // of what is resident at the end, the pages of the program's files, MB
}

// function is a running instance. Its Orga speaks TLS and does not wait.
type function struct {
	*proc.Process
	api     *lambdaruntime.API
	orga    *standin.Orga
	secrets func() // stops the Secrets Manager
}

func (l *lab) startFunction(peer string, quota *proc.Quota) (*function, error) {
	orga, err := l.startStandin(secure)
	if err != nil {
		return nil, err
	}
	secretsURL, stop, err := standin.StartSecretsManager()
	if err != nil {
		orga.Close()
		return nil, err
	}
	f := &function{orga: orga, secrets: stop}
	if f.api, err = lambdaruntime.Start("127.0.0.1:0"); err != nil {
		f.Stop()
		return nil, err
	}
	env := append(l.environment(orga), f.api.Env()...)
	env = append(env, "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER="+secretsURL, "ORGA_API_KEY_SOURCE=awssm:orga-api-key")
	argv, dir := []string{l.function}, l.scratch
	if peer == peerNode {
		argv, dir = []string{"node", "node_modules/aws-lambda-ric/index.mjs"}, l.node
		// It polls with its client in JavaScript: its native one crashes under Node 20.
		env = append(env, "_HANDLER=lambda.handler", "LAMBDA_TASK_ROOT="+l.node, "AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1=true",
			"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/local", "AWS_LAMBDA_LOG_STREAM_NAME=local")
	}
	if f.Process, err = proc.Start(l.ctx, proc.Place{Cores: l.cores, Quota: quota}, dir, append(env, usual...), argv...); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

// Stop ends the instance and what it called; it can be half started.
func (f *function) Stop() {
	if f.Process != nil {
		f.Process.Stop()
	}
	if f.api != nil {
		_ = f.api.Close()
	}
	f.secrets()
	f.orga.Close()
}

// event is an HTTP API's (payload version 2.0).
var event, _ = json.Marshal(map[string]any{ // plain values always marshal
	"version": "2.0", "routeKey": "$default", "rawPath": defaultPath[0], "rawQueryString": "",
	"headers": map[string]string{"accept": "*/*", "host": "api.example.com", "origin": origin, "user-agent": "bench"},
	"requestContext": map[string]any{
		"accountId": "000000000000", "apiId": "api", "domainName": "api.example.com", "domainPrefix": "api",
		"http":      map[string]string{"method": "GET", "path": defaultPath[0], "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "bench"},
		"requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
		"time": "23/Nov/2026:08:00:00 +0000", "timeEpoch": 1795420800000,
	},
	"isBase64Encoded": false,
})

// invoke runs one invocation and checks its answer.
func (f *function) invoke(l *lab) error {
	ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
	defer cancel()
	go func() {
		select {
		case <-f.Done():
			cancel() // an instance that has ended takes no event
		case <-ctx.Done():
		}
	}()
	response, err := f.api.Invoke(ctx, event, lambdaruntime.Options{Timeout: time.Minute})
	if ctx.Err() != nil && l.ctx.Err() == nil {
		return errors.New("the instance ended, or gave no answer in a minute")
	}
	if err != nil {
		return err
	}
	var answer struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", answer.StatusCode, answer.Body)
	}
	return standin.Check([]byte(answer.Body))
}
