#!/bin/sh
# Makes the certificates of the tests of `fetch`, anew: an authority, and a server called config.example.org.
set -e
cd "$(dirname "$0")"
days=36500
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $days -subj "/CN=kmimage test authority" \
    -keyout authority.key -out authority.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=config.example.org" -keyout server.key -out server.csr
printf 'subjectAltName=DNS:config.example.org\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' > server.ext
openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days $days -extfile server.ext -out server.pem
rm -f authority.key authority.srl server.csr server.ext
