// Command gcp serves the Google function like the main package that Google's build adds: with the functions framework, on
// PORT, but only on 127.0.0.1.
package main

import (
	"log"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "github.com/orga-session/orga-session/gcp-function" // registers OrgaSession
)

func main() {
	if err := os.Setenv("FUNCTION_TARGET", "OrgaSession"); err != nil {
		log.Fatal(err)
	}
	log.Fatal(funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT")))
}
