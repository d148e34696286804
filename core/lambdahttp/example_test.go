package lambdahttp_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/orga-session/orga-session/core/lambdahttp"
)

func Example() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s from %s", r.Method, r.URL.Path, r.RemoteAddr)
	})
	// A program passes this to lambda.StartWithOptions.
	handler := lambdahttp.AWS(h, 0)

	event := `{"version":"2.0","rawPath":"/hello","requestContext":{"http":{"method":"GET","sourceIp":"192.0.2.1"}}}`
	response, err := handler.Invoke(context.Background(), []byte(event))
	fmt.Println(string(response), err)
	// Output:
	// {"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":"GET /hello from 192.0.2.1:0","isBase64Encoded":false} <nil>
}
