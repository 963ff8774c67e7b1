// Go's own client: one connection, one line, the answer on standard output.
//
//	client PORT NAME CA [version=1.2|1.3] [alpn=a,b] [cert=FILE] [key=FILE] [times=N]
//
// Each time after the first it resumes the session of the time before, as Go does by itself.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func configure(name, ca string, wishes map[string]string) *tls.Config {
	pem, err := os.ReadFile(ca)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, ServerName: name, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if version, ok := wishes["version"]; ok {
		config.MinVersion = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[version]
		config.MaxVersion = config.MinVersion
	}
	if list, ok := wishes["alpn"]; ok {
		config.NextProtos = strings.Split(list, ",")
	}
	if file, ok := wishes["cert"]; ok {
		own, err := tls.LoadX509KeyPair(file, wishes["key"])
		check(err)
		config.Certificates = []tls.Certificate{own}
	}
	return config
}

func main() {
	wishes := map[string]string{"times": "1"}
	for _, word := range os.Args[4:] {
		name, value, _ := strings.Cut(word, "=")
		wishes[name] = value
	}
	config := configure(os.Args[2], os.Args[3], wishes)
	times, err := strconv.Atoi(wishes["times"])
	check(err)
	for i := 0; i < times; i++ {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], config)
		check(err)
		_, err = conn.Write([]byte("hello\n"))
		check(err)
		answer, err := io.ReadAll(conn)
		check(err)
		fmt.Print(string(answer))
		conn.Close()
	}
}
