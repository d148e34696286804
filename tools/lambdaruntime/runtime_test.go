package lambdaruntime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/orga-session/orga-session/tools/lambdaruntime"
)

// TestMain runs the test binary as the function under test: AWS's own Runtime API client in a separate process.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		lambda.Start(function)
	}
	os.Exit(m.Run())
}

func function(ctx context.Context, event json.RawMessage) (any, error) {
	switch string(event) {
	case `"fail"`:
		return nil, errors.New("told to fail")
	case `"hang"`:
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond) // in the function's process: the response is late
		return nil, nil
	}
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return map[string]any{
		"event":   event,
		"id":      lc.AwsRequestID,
		"custom":  lc.ClientContext.Custom["k"],
		"seconds": int(time.Until(deadline).Round(time.Second).Seconds()),
	}, nil
}

func start(t *testing.T) *lambdaruntime.API {
	t.Helper()
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = api.Env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = api.Close()
		_ = cmd.Wait() // it exits with an error when its API is gone
	})
	<-api.Ready()
	return api
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	api := start(t)
	tests := []struct {
		name, event string
		options     lambdaruntime.Options
		want        string // of the response, or of the error
	}{
		{"what Lambda says arrives", `{"a":1}`,
			lambdaruntime.Options{RequestID: "id-1", Timeout: 3 * time.Second, ClientContext: []byte(`{"custom":{"k":"v"}}`)},
			`{"custom":"v","event":{"a":1},"id":"id-1","seconds":3}`},
		{"an error is reported, and the function lives on", `"fail"`, lambdaruntime.Options{}, "errorString: told to fail"},
		{"defaults", `null`, lambdaruntime.Options{RequestID: "id-2"}, `{"custom":"","event":null,"id":"id-2","seconds":10}`},
		{"time runs out", `"hang"`, lambdaruntime.Options{Timeout: 30 * time.Millisecond}, lambdaruntime.ErrTimedOut.Error()},
		{"a late response is nobody's", `1`, lambdaruntime.Options{RequestID: "id-3"}, `{"custom":"","event":1,"id":"id-3","seconds":10}`},
	}
	for _, tt := range tests { // in order: all run on one instance
		response, err := api.Invoke(t.Context(), []byte(tt.event), tt.options)
		got := string(response)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestInvokeTellsFailuresApart(t *testing.T) {
	t.Parallel()
	api := start(t)
	_, err := api.Invoke(t.Context(), []byte(`"fail"`), lambdaruntime.Options{})
	if _, ok := errors.AsType[*lambdaruntime.FunctionError](err); !ok {
		t.Errorf("got %v, want a FunctionError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := api.Invoke(ctx, []byte(`"hang"`), lambdaruntime.Options{Timeout: time.Second}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestStartReportsATakenAddress(t *testing.T) {
	t.Parallel()
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	_, err = lambdaruntime.Start(api.Addr())
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "listen" {
		t.Errorf("got %v, want the error of listening at an address in use", err)
	}
}

func Example() {
	api, err := lambdaruntime.Start("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer api.Close()
	program, _ := os.Executable() // stands in for the binary of `make build-aws`
	function := exec.Command(program)
	function.Env = append(api.Env(), "ORGA_AUTH=anonymous")
	if err := function.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer function.Process.Kill()
	response, err := api.Invoke(context.Background(), []byte(`{"hello":"world"}`), lambdaruntime.Options{RequestID: "one"})
	fmt.Println(string(response), err)
	// Output: {"custom":"","event":{"hello":"world"},"id":"one","seconds":10} <nil>
}
