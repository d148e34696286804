package secret

// The sources of env: and file: before their content is decoded.
var (
	Env  = envSource
	File = fileSource
)
