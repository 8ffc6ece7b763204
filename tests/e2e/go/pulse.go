// What a receiver in Go does with a request, after the sample in the document that this server has to satisfy.
// In: the signature, a line feed, the body; argument: the secret; out: true or false.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

func verify(body []byte, signature, secret string) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal([]byte(signature), []byte("sha256="+hex.EncodeToString(mac.Sum(nil))))
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	signature, body, _ := bytes.Cut(input, []byte("\n"))
	fmt.Print(verify(body, string(signature), os.Args[1]))
}
