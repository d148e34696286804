package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/orga-session/orga-session/tools/bench/standin"
)

// Conn is a client's HTTP/1.1 connection. Only what the servers under test send is understood: an
// answer with a Content-Length.
type Conn struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

// Dial connects to the host of a URL; trust is for https.
func Dial(base string, trust *tls.Config) (*Conn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" {
		config := trust.Clone()
		config.ServerName = u.Hostname()
		conn = tls.Client(conn, config)
	}
	return &Conn{Conn: conn, in: bufio.NewReader(conn)}, nil
}

// answerTimeout ends a client whose answer does not come: the slowest, a function with a fourteenth of
// a core, takes a part of it.
const answerTimeout = 30 * time.Second

// roundTrip sends a request and returns the body of the answer, which is valid until the next.
func (c *Conn) roundTrip(request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, length := "", -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == "" {
			status = string(line)
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		if bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("%s: an answer without a length", status)
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}
	if status != "HTTP/1.1 200 OK" {
		return nil, fmt.Errorf("%s: %s", status, c.body)
	}
	return c.body, nil
}

// Mint is an exchange with an endpoint: paths are asked for in turn, with the header lines given, each
// ended by \r\n.
func Mint(host string, paths []string, header string) Exchange {
	requests := make([][]byte, len(paths))
	for i, path := range paths {
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n%s\r\n", path, host, header)
	}
	return func(c *Conn, n int) error {
		body, err := c.roundTrip(requests[n%len(requests)])
		if err != nil {
			return err
		}
		return standin.Check(body)
	}
}

// Direct is the floor: a client that makes the two calls itself, with no endpoint in between.
func Direct(host string) Exchange {
	mint := fmt.Appendf(nil, "POST /v1/realtime/client-secrets HTTP/1.1\r\nHost: %s\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", host, standin.APIKey)
	return func(c *Conn, _ int) error {
		body, err := c.roundTrip(mint)
		if err != nil {
			return err
		}
		token := standin.Token(body)
		body, err = c.roundTrip(fmt.Appendf(nil, "GET /v1/realtime/ice-config HTTP/1.1\r\nHost: %s\r\n"+
			"Authorization: Bearer %s\r\n\r\n", host, token))
		if err != nil {
			return err
		}
		return standin.CheckCalls(token, body)
	}
}
