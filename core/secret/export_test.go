package secret

// Export the sources of env: and file: without checks of their content.
var (
	Env  = envSource
	File = fileSource
)
