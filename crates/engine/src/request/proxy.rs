//! Proxies of docker's config.json, as the environment of containers.
//!
//! `{"proxies": {"default": {"httpProxy": …, "httpsProxy": …, "noProxy": …, "ftpProxy": …, "allProxy": …}}}`, and in place of
//! `default` the address of a daemon, which goes before it.

use super::process::Variable;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    proxies: BTreeMap<String, Proxies>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// What `text`, a config.json, has for the daemon at `host`, in capitals and not, but for what `given` names already.
///
/// # Errors
/// It is no such document.
pub fn variables(text: &str, host: &str, given: &[Variable]) -> Result<Vec<Variable>, serde_json::Error> {
    let File { mut proxies } = serde_json::from_str(text)?;
    let Some(found) = proxies.remove(host).or_else(|| proxies.remove("default")) else { return Ok(vec![]) };
    let all = [
        ("HTTP_PROXY", found.http_proxy),
        ("HTTPS_PROXY", found.https_proxy),
        ("NO_PROXY", found.no_proxy),
        ("FTP_PROXY", found.ftp_proxy),
        ("ALL_PROXY", found.all_proxy),
    ];
    let both = |(name, value): (&str, String)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value)];
    let said = all.into_iter().filter(|(_, value)| !value.is_empty()).flat_map(both);
    let new = said.filter(|(name, _)| !given.iter().any(|variable| variable.name == *name));
    Ok(new.map(|(name, value)| Variable { name, value: Some(value) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, host: &str, given: &[&str]) -> Vec<String> {
        let given: Vec<_> = given.iter().map(|name| Variable { name: (*name).to_owned(), value: None }).collect();
        let found = variables(text, host, &given).unwrap();
        found.into_iter().map(|variable| format!("{}={}", variable.name, variable.value.unwrap())).collect()
    }

    #[test]
    fn as_docker_does() {
        let text = r#"{"auths": {}, "proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a,b"},
            "tcp://other": {"allProxy": "socks5://q"}}}"#;
        let all = ["HTTP_PROXY=http://p:1", "http_proxy=http://p:1", "NO_PROXY=a,b", "no_proxy=a,b"];
        assert_eq!(names(text, "unix:///x", &[]), all);
        assert_eq!(names(text, "unix:///x", &["HTTP_PROXY", "no_proxy"]), [all[1], all[2]]);
        assert_eq!(names(text, "tcp://other", &[]), ["ALL_PROXY=socks5://q", "all_proxy=socks5://q"]);
        assert!(names("{}", "x", &[]).is_empty());
        assert!(variables("{", "x", &[]).is_err() && variables(r#"{"proxies": {"default": 1}}"#, "x", &[]).is_err());
    }
}
