package function

// Google's build adds a main package that starts the framework. With a vendor folder, it finds the framework only if this
// module imports it.
import (
	_ "github.com/GoogleCloudPlatform/functions-framework-go/funcframework" // for Google's main
)
