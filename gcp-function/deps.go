package function

// Google's build adds a main that starts the framework; with a vendor folder it finds the framework
// there only if something here imports it.
import (
	_ "github.com/GoogleCloudPlatform/functions-framework-go/funcframework" // for Google's main
)
