package lambdahttp

// event is what the triggers' events have in common, as far as it is used. Every trigger fills a part
// of it; what a trigger does not send stays zero.
type event struct {
	Type string `json:"type"` // only in the events of authorizers, which otherwise look like requests

	// REST API, HTTP API with payload format 1.0, ALB, Netlify.
	HTTPMethod        string               `json:"httpMethod"`
	Path              string               `json:"path"`
	Headers           map[string]*string   `json:"headers"` // HTTP API and Function URL too
	MultiValueHeaders map[string][]*string `json:"multiValueHeaders"`
	Query             map[string]*string   `json:"queryStringParameters"`
	MultiValueQuery   map[string][]*string `json:"multiValueQueryStringParameters"`

	// HTTP API, Function URL.
	RawPath        string   `json:"rawPath"`
	RawQueryString string   `json:"rawQueryString"`
	Cookies        []string `json:"cookies"`

	// Netlify.
	RawURL   string  `json:"rawUrl"`
	RawQuery *string `json:"rawQuery"`

	Body            string `json:"body"`
	IsBase64Encoded bool   `json:"isBase64Encoded"`

	RequestContext struct {
		RequestID string    `json:"requestId"`
		Stage     string    `json:"stage"`
		Path      string    `json:"path"` // REST API: with the stage, where the client sent it
		ELB       *struct{} `json:"elb"`
		HTTP      struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
		Identity struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"`
		Authorizer any `json:"authorizer"`
	} `json:"requestContext"`
}

// isRequest tells whether an event has what every HTTP request has, where those that say httpMethod have it.
// A Bedrock agent's says httpMethod, too, and its path is no URL's.
func (e *event) isRequest() bool { return e.HTTPMethod != "" && e.Path != "" }
