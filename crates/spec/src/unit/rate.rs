//! Rates and weights of devices.

use super::{Invalid, Size};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A rate limit on one device: `/dev/sda:1mb`, in bytes or operations a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate<Rate> {
    pub device: PathBuf,
    pub rate: Rate,
}

/// Operations a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations(pub u64);

impl FromStr for Operations {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
        number.map(Self).ok_or_else(|| {
            Invalid::new(format!("{text:?} is not a number of operations a second")).hint("write a plain number")
        })
    }
}

impl FromStr for DeviceRate<Size> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (device, rate) = on_device(text, "/dev/sda:1mb")?;
        Ok(Self { device, rate: rate.parse()? })
    }
}

impl FromStr for DeviceRate<Operations> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (device, rate) = on_device(text, "/dev/sda:1000")?;
        Ok(Self { device, rate: rate.parse()? })
    }
}

/// A weight from 10 to 1000 for one device: `/dev/sda:500`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    pub device: PathBuf,
    pub weight: u16,
}

impl FromStr for DeviceWeight {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (device, weight) = on_device(text, "/dev/sda:500")?;
        let number = weight.parse().ok().filter(|weight| (10..=1000).contains(weight));
        let weight = number.ok_or_else(|| Invalid::new(format!("the weight {weight:?} is not from 10 to 1000")))?;
        Ok(Self { device, weight })
    }
}

fn on_device<'a>(text: &'a str, example: &str) -> Result<(PathBuf, &'a str), Invalid> {
    let how = || format!("write the device and the value: {example}");
    let (device, value) = text.rsplit_once(':').ok_or_else(|| Invalid::new("no value after the device").hint(how()))?;
    if !Path::new(device).starts_with("/dev") || device == "/dev" {
        return Err(Invalid::new(format!("{device:?} is not a path under /dev")).hint(how()));
    }
    Ok((device.into(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_device_and_value() {
        let bytes: DeviceRate<Size> = "/dev/sda:1mb".parse().unwrap();
        assert_eq!((bytes.device.as_path(), bytes.rate.bytes()), (Path::new("/dev/sda"), 1 << 20));
        let operations: DeviceRate<Operations> = "/dev/disk/by-id/a:b:1000".parse().unwrap();
        assert_eq!((operations.device.to_str(), operations.rate.0), (Some("/dev/disk/by-id/a:b"), 1000));
        assert_eq!("/dev/sda:500".parse(), Ok(DeviceWeight { device: "/dev/sda".into(), weight: 500 }));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("/dev/sda", "no value after the device"),
            ("sda:1mb", "\"sda\" is not a path under /dev"),
            ("/devil:1mb", "\"/devil\" is not a path under /dev"),
            ("/dev/sda:fast", "a size starts with a number"),
        ] {
            assert_eq!(text.parse::<DeviceRate<Size>>().unwrap_err().why, why, "{text}");
        }
        for text in ["/dev/sda:1k", "/dev/sda:-1", "/dev/sda:+1", "/dev/sda:"] {
            assert!(text.parse::<DeviceRate<Operations>>().unwrap_err().why.ends_with("operations a second"), "{text}");
        }
        for text in ["/dev/sda:9", "/dev/sda:1001", "/dev/sda:x"] {
            assert!(text.parse::<DeviceWeight>().unwrap_err().why.ends_with("is not from 10 to 1000"), "{text}");
        }
    }
}
